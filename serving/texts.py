"""Texts for people, in English and Chinese: the one catalogue."""

from serving.contract import Text

EMPLOYEE = Text(en="id", zh="编号")
MARGIN = Text(en="margin", zh="差距")
LABEL = Text(en="label", zh="判定")
YES = Text(en="yes", zh="是")
NO = Text(en="no", zh="否")
COVERAGE = Text(en="coverage", zh="完整度")
VERSION = Text(en="version", zh="版本")
NOTES = Text(en="notes", zh="提示")
LOW_COVERAGE = Text(en="too little known to rely on", zh="信息不足，仅供参考")
UNKNOWN_CATEGORY = Text(en="unknown value", zh="未知取值")
OUT_OF_TRAINING_RANGE = Text(en="outside what the model has seen", zh="超出模型见过的范围")
MISSING = Text(en="not given", zh="未提供")
STALE = Text(en="out of date", zh="已过时")


def both(text: Text) -> str:
    """English and Chinese in one line."""
    return f"{text.en} {text.zh}"
