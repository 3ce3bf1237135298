"""Which columns are protected attributes, by their names in English or Chinese."""

import re

_WORDS = {
    "gender": ("gender", "sex", "性别"),
    "age": ("age", "ages", "birth", "birthday", "birthdate", "birthyear", "dateofbirth", "yearofbirth", "dob", "年龄",
            "出生", "生日"),
    "marital status": ("marital", "maritalstatus", "married", "spouse", "婚姻", "婚否", "婚育", "已婚", "配偶"),
    "ethnicity": ("ethnicity", "ethnic", "ethnicgroup", "hispanic", "latino", "民族", "族裔"),
    "race": ("race", "racial", "种族"),
    "religion": ("religion", "religious", "宗教", "信仰"),
    "disability": ("disability", "disabilities", "disabled", "handicap", "handicapped", "残疾", "残障"),
    "nationality": ("nationality", "citizenship", "citizen", "国籍"),
    "pregnancy": ("pregnancy", "pregnant", "maternity", "怀孕", "孕", "产假", "生育"),
    "sexual orientation": ("sexual", "sexualorientation", "性取向"),
    "political affiliation": ("political", "政治面貌"),
}  # fmt: skip
"""Attribute -> words of names that mean it."""
_OF_A_PERSON = {
    "employee", "staff", "worker", "person", "personal", "emp", "at", "in", "of", "hire", "hiring", "year", "years",
    "band", "bands", "group", "range", "class", "bracket", "category", "code", "id", "desc", "current",
}  # fmt: skip
"""Words beside which "age" is that of a person; an account or a product has an age as well."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[\u3400-\u9fff]+")


def attribute(name: str) -> str:
    """The protected attribute that a column of this name holds; empty for any other. "DateOfBirth" -> "age"."""
    words = [word.lower() for word in _WORD.findall(name)]
    of_a_person = set(words) - {"age", "ages"} <= _OF_A_PERSON
    for protected, meant in _WORDS.items():
        if any(_means(word, meant) for word in words if of_a_person or word not in ("age", "ages")):
            return protected
    return ""


def reason(protected: str) -> str:
    """Why such a column is no input of a model."""
    return f"protected attribute ({protected})"


def _means(word: str, meant: tuple[str, ...]) -> bool:
    """Chinese has no spaces between words: there a part of the name is enough."""
    return word in meant or (not word.isascii() and any(part in word for part in meant if not part.isascii()))
