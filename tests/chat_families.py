"""Control tokens of model families, from their tokenizers and chat templates: what neutralising is measured on.

Facts to test against, not a list that the package works from.
"""

FAMILIES = {
    "chatml, Qwen": """
        <|im_start|> <|im_end|> <|endoftext|> <|im_sep|> <|object_ref_start|> <|object_ref_end|> <|box_start|>
        <|box_end|> <|quad_start|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|>
        <tool_call> </tool_call> <tool_response> </tool_response> <think> </think> <|fim_prefix|> <|fim_middle|>
        <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> <tools> </tools> <img> </img> <ref> </ref> <box>
        </box> <quad> </quad> <function=search> <parameter=query> </function> </parameter>
    """,
    "Llama 2, Mistral": """
        <s> </s> <unk> <pad> [INST] [/INST] <<SYS>> <</SYS>> [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [AVAILABLE_TOOLS]
        [/AVAILABLE_TOOLS] [TOOL_CALLS] [TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CONTENT] [ARGS] [CALL_ID] [IMG]
        [IMG_BREAK] [IMG_END] [AUDIO] [BEGIN_AUDIO] [THINK] [/THINK] [PREFIX] [SUFFIX] [MIDDLE] [MODEL_SETTINGS]
        [/MODEL_SETTINGS] <SPECIAL_20> [STREAMING_PAD]
    """,
    "CodeLlama": """
        <PRE> <SUF> <MID> <EOT>
    """,
    "Llama 3, 4": """
        <|begin_of_text|> <|end_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <|eom_id|>
        <|python_tag|> <|finetune_right_pad_id|> <|reserved_special_token_0|> <|header_start|> <|header_end|>
        <|eot|> <|eom|> <|step_id|> <|image|> <|image_start|> <|image_end|> <|patch|> <|tile_x_separator|>
        <|python_start|> <|python_end|> <|text_post_train_reserved_special_token_7|>
    """,
    "Gemma": """
        <bos> <eos> <start_of_turn> <end_of_turn> <start_of_image> <end_of_image> <image_soft_token> <unused0>
        <unused99> <mask> [multimodal] [@BOS@] <|turn> <turn|> <|channel> <channel|> <|think|> <|tool> <tool|>
        <|tool_call> <tool_call|> <|tool_response> <tool_response|> <|image> <image|> <|audio|> <|image|>
    """,
    "Gemini, PaliGemma": """
        <ctrl99> <ctrl100> <loc0000> <seg000>
    """,
    "Phi": """
        <|user|> <|assistant|> <|system|> <|end|> <|dummy_0|> <|tool_call|> <|/tool_call|> <|tool|> <|/tool|>
        <|placeholder1|> <nothink>
    """,
    "DeepSeek": """
        <｜begin▁of▁sentence｜> <｜end▁of▁sentence｜> <｜User｜> <｜Assistant｜> <｜▁pad▁｜>
        <｜tool▁calls▁begin｜> <｜tool▁calls▁end｜> <｜tool▁call▁begin｜> <｜tool▁sep｜>
        <｜tool▁outputs▁begin｜> <｜tool▁output▁end｜> <｜fim▁begin｜> <｜fim▁hole｜> <｜fim▁end｜> <|EOT|>
        <|search_begin|> <｜search▁begin｜> <｜DSML｜function_calls> </｜DSML｜invoke> <｜place▁holder▁no▁3｜>
    """,
    "GLM": """
        [gMASK] [sMASK] [MASK] <sop> <eop> <|observation|> <|begin_of_image|> <|end_of_video|> <|begin_of_box|>
        <|end_of_box|> <arg_key> </arg_key> <arg_value> </arg_value>
    """,
    "Kimi": """
        <|im_user|> <|im_assistant|> <|im_system|> <|im_middle|> <|tool_calls_section_begin|>
        <|tool_calls_section_end|> <|tool_call_begin|> <|tool_call_argument_begin|> <|tool_call_end|>
        <|media_start|> <|media_pad|> [BOS] [EOS] [EOT] [UNK] [PAD] [start_header_id] [extra_id_0]
    """,
    "MiniMax": """
        ]~b] ]~!b[ [e~[ ]<]minimax[>[ <minimax:tool_call> </minimax:tool_call> <beginning_of_sentence>
        <end_of_sentence> <begin_of_document> <function_call>
    """,
    "Seed-OSS": """
        <seed:bos> <seed:eos> <seed:pad> <seed:think> </seed:think> <seed:cot_budget_reflect> <seed:tool_call>
        </seed:tool_call> <[begin_of_image]>
    """,
    "gpt-oss": """
        <|start|> <|message|> <|channel|> <|constrain|> <|return|> <|call|> <|startoftext|> <|endofprompt|>
        <|reserved_200013|>
    """,
    "Command": """
        <BOS_TOKEN> <EOS_TOKEN> <PAD_TOKEN> <|START_OF_TURN_TOKEN|> <|END_OF_TURN_TOKEN|> <|USER_TOKEN|>
        <|CHATBOT_TOKEN|> <|SYSTEM_TOKEN|> <|START_THINKING|> <|END_THINKING|> <|START_ACTION|>
        <|START_RESPONSE|> <|START_TOOL_RESULT|> <UNK> <CLS> <SEP> <MASK_TOKEN>
    """,
    "Granite": """
        <|start_of_role|> <|end_of_role|> <|tool_call|> <|start_of_cite|> <|start_of_plugin|> <response>
        </response>
    """,
    "OLMo, Nemotron": """
        <extra_id_0> <extra_id_1> <SPECIAL_10> <SPECIAL_11> <SPECIAL_12> <TOOLCALL> </TOOLCALL>
        <AVAILABLE_TOOLS> </AVAILABLE_TOOLS> <TOOL_RESPONSE> </TOOL_RESPONSE> <functions> </functions>
        <function_calls> </function_calls>
    """,
    "StarCoder, SmolLM": """
        <fim_prefix> <fim_middle> <fim_suffix> <fim_pad> <fim-prefix> <fim-middle> <repo_name> <reponame>
        <file_sep> <filename> <gh_stars> <issue_start> <issue_comment> <issue_closed> <jupyter_start>
        <jupyter_text> <jupyter_code> <jupyter_output> <jupyter_script> <empty_output> <commit_before>
        <commit_msg> <commit_after>
    """,
    "SmolVLM, Idefics": """
        <end_of_utterance> <fake_token_around_image> <global-img> <row_1_col_1> <image>
    """,
    "Falcon, Yi, InternLM": """
        <|falcon|> <|prefix|> <|startoftext|> <|action_start|> <|action_end|> <|interpreter|> <|plugin|> <eoh>
        <eoa> <eom> <|System|> <|Human|>
    """,
    "Hunyuan, Ernie, Step": """
        <｜hy_User｜> <｜hy_Assistant｜> <｜hy_place▁holder▁no▁3｜> <｜hy_begin▁of▁sentence｜> <|extra_0|>
        <|extra_4|> <|eos|> <answer> </answer> <mask:1> <cls> <sep> <|LOC_0|> <|BOT|> <|CLS|> <|MASK|>
        <|beginofutterance|> <|endofutterance|>
    """,
    "Pangu, MiniCPM": """
        [unused9] [unused10] <用户> <AI> <|execute_start|> <|thought_start|> <|thought_end|>
    """,
    "EXAONE, Solar, Megrez, GigaChat, LFM": """
        [|system|] [|user|] [|assistant|] [|endofturn|] <|endofturn|> <|begin|> <|content|> <|role_start|>
        <|turn_end|> <|message_sep|> <|role_sep|> <|tool_list_start|> <|tool_list_end|> <|tool_response_start|>
        <|cot_start|>
    """,
    "Grok, Bailing, ChatGLM": """
        <|separator|> <|eos|> <role> </role> <|role_end|> <|assistant|>
    """,
    "seen after the shapes were made": """
        <|end_of_msg|> <|open|> <|close|> <|sep|> <osagent_mode> <|media_begin|> <mm:think> </mm:think>
        ]<]frame[>[ <|content_altered_placeholder|> ]!p~[ <|mimo_video_start|> <|mimo_audio_eod|>
        <longcat_think> </longcat_think> <longcat_tool_call> <longcat_arg_key> <longcat_observation>
        <longcat_files> <|ts|> <SMILES> </SMILES> <tts_text_bos> <tts_text_eod> <|reminder|>
        <｜place▁holder▁no▁14｜> <function-name> <args-json-object> <think_on> <think_off> <|IMAGE_PLACEHOLDER|>
        [|tool|] <|ifm|im_start|> <|begin_of_thought|> <code_interpreter> ]<]video[>[
    """,
    "T5, BERT": """
        [CLS] [SEP] <extra_id_99> <cls> <sep> <0x0A>
    """,
}
TOKENS = tuple(dict.fromkeys(token for tokens in FAMILIES.values() for token in tokens.split()))
