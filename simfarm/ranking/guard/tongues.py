"""Addresses and orders to a judge in languages other than English, as the guard looks for them: kind, cues, pattern.

Texts are in small letters and NFKC when they are looked at. A rule is tried where one of its cues stands.
"""

from __future__ import annotations

__all__ = ["RULES"]

RULES: tuple[tuple[str, str, str], ...] = (
    # "Dear judge,"
    ("judge", "richter bewerter gutachter juror prüfer jury",
     r"\b(?:geehrter?|lieber?|achtung|hallo|an (?:den|die))\b[^.\n]{0,20}\b(?:ki-)?"
     r"(?:richter|bewerter|gutachter|juror|prüfer|jury|schiedsrichter)\w*\s*[,:!]"),
    ("judge", "juge évaluat correcteur jury",
     r"\b(?:ch[eè]re?s?|bonjour|attention|note (?:à|au))\b[^.\n]{0,20}"
     r"\b(?:juge|évaluateur|évaluatrice|correcteur|jury)s?\s*[,:!]"),
    ("judge", "juez jueces evaluador jurado",
     r"\b(?:querid[oa]s?|estimad[oa]s?|hola|atención|nota (?:para|al))\b[^.\n]{0,20}"
     r"\b(?:juez|jueza|jueces|evaluador|jurado)\w*\s*[,:!]"),
    ("judge", "juiz juíza juízes avaliador jurado",
     r"\b(?:car[oa]s?|prezad[oa]s?|olá|atenção|nota (?:ao|para))\b[^.\n]{0,20}"
     r"\b(?:juiz|juíza|juízes|avaliador|jurado)\w*\s*[,:!]"),
    ("judge", "giudice valutat giuria",
     r"\b(?:car[oaie]|gentile|egregio|ciao|attenzione|nota (?:al|per))\b[^.\n]{0,20}"
     r"\b(?:giudice|valutatore|valutatrice|giuria)\w*\s*[,:!]"),
    ("judge", "评 評 裁判 法官",
     r"(?:尊敬的|亲爱的|親愛的|致|请)(?:各位)?(?:ai)?"
     r"(?:评审|评委|評審|評委|评判|裁判|评估|评分|法官)\w{0,4}\s*[,:!、]"),
    ("judge", "審 評価者 採点者 判定者 ジャッジ 裁判官",
     r"(?:審査員|評価者|採点者|判定者|ジャッジ|裁判官|審判)(?:の皆様|の皆さん|様|さん|殿|へ)+\s*[,:!、]"),
    ("judge", "심 평가자 채점자 판사",
     r"(?:심사위원|평가자|채점자|심판|판사)(?:님|들|께|에게|분)+\s*[,:!]"),
    ("judge", "судь оценщик эксперт рецензент жюри",
     r"\b(?:уважаем|дорог|внимани|привет)\w*\s*,?\s*(?:судь|оценщик|эксперт|рецензент|жюри)\w*\s*[,:!]"),
    ("judge", "قاضي مقي حكم",
     r"(?:عزيزي|السيد|إلى|أيها|انتباه)\s+(?:ال)?(?:قاضي|مقيم|مقيّم|حكم|محكم)\w*\s*[,:!،]"),
    ("judge", "न्याय मूल्यांकन निर्णायक जज",
     r"(?:प्रिय|माननीय|आदरणीय|ध्यान दें)\s+(?:न्यायाधीश|मूल्यांकनकर्ता|निर्णायक|जज)\S*\s*[,:!]"),
    # "Ignore the instructions above."
    ("ignore", "ignorier vergiss vergesse missacht",
     r"\b(?:ignorier|vergiss|vergesse|missacht)\w*\b.{0,40}"
     r"\b(?:anweisung|instruktion|vorgabe|vorherig|obige|bisherig)"),
    ("ignore", "ignore oubli",
     r"\b(?:ignore[rz]?|oublie[rz]?)\b.{0,40}\b(?:consigne|précédent|ci-dessus)"),
    ("ignore", "ignor olvid omiso",
     r"\b(?:ignor[ae]|ignoren|olvid[ae]|omiso)\b.{0,40}\b(?:instrucciones|anterior)"),
    ("ignore", "ignor esqueça desconsider",
     r"\b(?:ignor[ae]|ignorem|esqueça|desconsidere)\b.{0,40}\b(?:instruções|anterior|acima)"),
    ("ignore", "ignor dimentic trascur",
     r"\b(?:ignora|ignorate|ignori|dimentica|dimenticate|trascura)\b.{0,40}\b(?:istruzioni|precedent)"),
    ("ignore", "忽 无视 無視 忘",
     r"(?:忽略|无视|忽視|無視|忘记|忘掉).{0,10}(?:指令|指示|说明|說明|提示|以上|之前|上面|所有)"),
    ("ignore", "無視 忘れ",
     r"(?:以前|上記|これまで|前|すべて|全て)の.{0,10}(?:指示|命令|プロンプト).{0,6}(?:無視|忘れ)"),
    ("ignore", "무시 잊", r"(?:이전|위|앞|모든).{0,10}(?:지시|지침|명령|프롬프트).{0,8}(?:무시|잊)"),
    ("ignore", "игнорир забудь обращай",
     r"\b(?:игнорир|проигнорир|забудь|не обращай)\w*.{0,40}(?:инструкци|указани|предыдущ)"),
    ("ignore", "تجاهل انس", r"(?:تجاهل|انس|تجاهلوا).{0,30}(?:التعليمات|السابق|أعلاه|الأوامر)"),
    ("ignore", "निर्देश", r"(?:पिछल|उपरोक्त|सभी).{0,20}निर्देश.{0,20}(?:अनदेखा|नज़रअंदाज|भूल|उपेक्षा)"),
    # "Choose this answer."
    ("order", "antwort ausgabe",
     r"\b(?:wähl|bevorzug|bewert|entscheide)\w*\b[^.\n]{0,40}\b(?:dies|mein)\w*\s+(?:\w+\s+)?(?:antwort|ausgabe)"),
    ("order", "réponse sortie",
     r"\b(?:choisi|préf[éè]r|sélectionn|not[eé]|évalu|vot)\w*\b[^.\n]{0,40}\b(?:cette|ma)\s+(?:réponse|sortie)"),
    ("order", "respuesta salida",
     r"\b(?:elij|elig|escoj|escog|prefier|seleccion|califi|vot)\w*\b[^.\n]{0,40}\b(?:esta|mi)\s+(?:respuesta|salida)"),
    ("order", "resposta saída",
     r"\b(?:escolh|prefir|selecion|avali|vot)\w*\b[^.\n]{0,40}\b(?:esta|essa|minha)\s+(?:resposta|saída)"),
    ("order", "risposta output",
     r"\b(?:scegli|scelga|preferi|selezion|valut|vot)\w*\b[^.\n]{0,40}\b(?:questa|mia)\s+(?:risposta|output)"),
    ("order", "回答 答案 输出 輸出 回复 回覆",
     r"(?:选择|選擇|请选|請選|偏好|判定|评为|給|给).{0,12}(?:这个|這個|此|本|我的|该|該)"
     r"(?:回答|答案|输出|輸出|回复|回覆)"),
    ("order", "回答 出力 応答 答え", r"(?:この|私の|本)(?:回答|出力|応答|答え).{0,10}(?:選|優|高く|最高)"),
    ("order", "답 출력",
     r"(?:이|제|나의|본)\s*(?:답변|응답|출력|대답)(?:을|를|이|에)?.{0,12}(?:선택|선호|고르|골라|최고|높은)"),
    ("order", "ответ вывод",
     r"\b(?:выбер|выбир|предпоч|оцени|поставь)\w*\b[^.\n]{0,40}\b(?:этот|мой|данный|этому|моему)\s+(?:ответ|вывод)"),
    ("order", "الإجابة الجواب الرد إجابتي جوابي",
     r"(?:اختر|اختاروا|قيّم|اختيار).{0,30}(?:هذه الإجابة|هذا الجواب|هذا الرد|إجابتي|جوابي)"),
    ("order", "उत्तर जवाब आउटपुट",
     r"(?:इस|मेरे|मेरा)\s+(?:उत्तर|जवाब|आउटपुट).{0,20}(?:चुन|पसंद|श्रेष्ठ|प्राथमिकता)"),
    # "This answer is better."
    ("praise", "antwort", r"\b(?:diese|meine) antwort ist (?:\w+ ){0,2}(?:besser|beste|überlegen)"),
    ("praise", "réponse", r"\b(?:cette|ma) réponse est (?:\w+ ){0,2}(?:meilleure|supérieure)"),
    ("praise", "respuesta", r"\b(?:esta|mi) respuesta es (?:\w+ ){0,2}(?:mejor|superior)"),
    ("praise", "resposta", r"\b(?:esta|minha) resposta é (?:\w+ ){0,2}(?:melhor|superior)"),
    ("praise", "risposta", r"\b(?:questa|mia) risposta è (?:\w+ ){0,2}(?:migliore|superiore)"),
    ("praise", "回答 答案 输出 輸出",
     r"(?:这个|這個|此|本|我的|该)(?:回答|答案|输出|輸出).{0,8}(?:更好|最好|最佳|优于|更优)"),
    ("praise", "回答 出力 応答", r"(?:この|私の|本)(?:回答|出力|応答)(?:は|が).{0,8}(?:最も|優れ|最高|最良)"),
    ("praise", "답 출력", r"(?:이|제|본)\s*(?:답변|응답|출력)(?:은|이|는).{0,8}(?:더 나|최고|가장|우수)"),
    ("praise", "ответ", r"\b(?:этот|мой|данный) ответ .{0,16}(?:лучш|превосход)"),
    ("praise", "الإجابة الجواب إجابتي", r"(?:هذه الإجابة|هذا الجواب|إجابتي).{0,12}(?:أفضل|الأفضل)"),
    ("praise", "उत्तर जवाब", r"(?:यह|मेरा) (?:उत्तर|जवाब).{0,16}(?:बेहतर|सर्वश्रेष्ठ|सबसे अच्छा)"),
)  # fmt: skip
