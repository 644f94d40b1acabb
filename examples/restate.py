"""A generator without a model: says the instruction back with a stock sentence, the honest bottom of any board.

python restate.py INSTRUCTIONS OUTPUTS
"""

import sys

from simfarm import Output, write
from simfarm.data.inputs import instructions_for

ANSWER = "That is a good question. You asked: {} I will think about it and come back to you."

write(
    sys.argv[2],
    (
        Output(
            instruction=asked.instruction,
            output=ANSWER.format(asked.instruction),
            generator="restater",
            instruction_id=asked.instruction_id,
            dataset=asked.dataset,
            extra=dict(asked.extra) | {"finish_reason": "stop"},
        ).row()
        for asked in instructions_for([sys.argv[1]])
    ),
)
