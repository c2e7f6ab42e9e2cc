"""Small traces in the columns of those that are published; the figures are made up."""

from __future__ import annotations

import os
from pathlib import Path

from tests import ROOT


def published() -> str:
    """The path of Azure's conversation trace of 2023 as it is published; empty where it is not there."""
    beside = ROOT.parent / "shared" / "data" / "AzureLLMInferenceTrace_conv.csv"
    return os.environ.get("TESTBED_AZURE_TRACE") or (str(beside) if beside.is_file() else "")


AZURE = published()
AZURE_MISSING = "needs TESTBED_AZURE_TRACE, Azure's conversation trace of 2023 as it is published"
AZURE_2023 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2023-11-16 18:00:00.5000000,30,44\r\n"
    "2023-11-16 18:00:02.0000001,20,109\r\n"
    "2023-11-16 18:00:02.2224670,25,0\r\n"
    "2023-11-16 18:10:02.0000000,40,8"
)
AZURE_2024 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2024-05-10 00:00:00.009930+00:00,30,5\n"
    "2024-05-10 00:00:01+00:00,20,7\n"
)
BURSTGPT = (
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,30,18,48,Conversation log\n"
    "5,GPT-4,0,0,0,API log\n"
    "45,GPT-4,20,0,20,API log\n"
)
BURSTGPT_SESSIONS = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "19440110.0,a,43,GPT-4,30,4,34,Conversation log\n"
    "19440161.0,b,2,ChatGPT,20,2,22,Conversation log\n"
    "19440192.0,a,8,GPT-4,20,1,21,Conversation log\n"
    "19440193.0,,8,GPT-4,20,1,21,API log\n"
)
MOONCAKE = (
    '{"timestamp": 0, "input_length": 30, "output_length": 500, "hash_ids": [0, 1]}\n'
    '{"timestamp": 3000, "input_length": 20, "output_length": 3, "hash_ids": [0]}\n'
    '{"timestamp": 5999, "input_length": 20, "output_length": 26, "hash_ids": [0, 2]}\n'
)
NAMED = "when,who,asked\n0.25,ann,30\n1.5,bob,20\n2.5,ann,25\n"


def written(folder: Path, text: str, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_text(text, newline="")
    return path
