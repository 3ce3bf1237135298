"""Which columns are protected attributes: by their names in English or Chinese, and gender by its codes as well."""

import re
from collections.abc import Iterable

_PHRASES = {
    "nationality": ("country of birth", "birth country", "place of birth", "birth place", "birth city", "city of birth",
                    "birth nation", "nation of birth", "national origin", "country of origin"),
    "ethnicity": ("native language", "mother tongue"),
    "race": ("skin color", "skin colour", "skin tone"),
    "marital status": ("civil status", "relationship status"),
    "age": ("senior citizen",),
    "political affiliation": ("party member", "party membership"),
    "identity number": ("id card", "identity card", "identity number", "identity no", "national id",
                        "social security number"),
}  # fmt: skip
"""Attribute -> words that mean it together, side by side; told before single words."""
_WORDS = {
    "nationality": ("nationality", "nation", "citizenship", "citizen", "birthplace", "birthcountry", "countryofbirth",
                    "placeofbirth", "foreigner", "immigrant", "hometown", "nativeplace", "国籍", "國籍", "出生地",
                    "出生国", "籍贯", "籍貫", "户籍", "户口"),
    "identity number": ("idcard", "nationalid", "ssn", "passport", "身份证", "身份證"),
    "gender": ("gender", "sex", "female", "females", "male", "males", "woman", "women", "transgender", "pronoun",
               "pronouns", "salutation", "honorific", "isfemale", "ismale", "gendercode", "sexcode", "性别", "性別",
               "男女", "男性", "女性", "先生", "女士", "称谓", "稱謂"),
    "age": ("birth", "birthday", "birthdate", "birthyear", "dateofbirth", "yearofbirth", "dob", "yob", "年龄", "年齡",
            "出生", "生日", "岁数", "歲數", "周岁", "虚岁"),
    "marital status": ("marital", "maritalstatus", "married", "unmarried", "ismarried", "divorced", "widowed", "spouse",
                       "husband", "wife", "婚", "配偶", "单身", "單身", "离异", "丧偶"),
    "ethnicity": ("ethnicity", "ethnic", "ethnicgroup", "hispanic", "latino", "latina", "latinx", "minority",
                  "minorities", "民族", "族裔"),
    "race": ("race", "racial", "skincolor", "skincolour", "种族", "種族", "肤色", "膚色"),
    "religion": ("religion", "religious", "caste", "宗教", "信仰"),
    "disability": ("disability", "disabilities", "disabled", "handicap", "handicapped", "残疾", "残障", "殘疾"),
    "pregnancy": ("pregnancy", "pregnant", "maternity", "孕", "产假", "產假", "生育"),
    "sexual orientation": ("sexual", "sexualorientation", "lgbt", "lgbtq", "性取向"),
    "political affiliation": ("political", "politics", "政治面貌", "党员", "黨員", "党派"),
}  # fmt: skip
"""Attribute -> words of names that mean it."""
_ALONE = {"man": "gender", "men": "gender", "男": "gender", "女": "gender", "single": "marital status",
          "black": "race", "white": "race", "asian": "race", "岁": "age", "歲": "age"}  # fmt: skip
"""Words that mean an attribute only where nothing else of weight stands beside them: single, but not single sign-on."""
_NO_WEIGHT = {"is", "are", "was", "flag", "status", "ind", "indicator", "code", "yn"}
_PERSON = {"employee", "employees", "emp", "staff", "worker", "person", "personal", "people", "member", "human",
           "applicant", "candidate"}  # fmt: skip
"""Right before "age" they say that it is a person's, whatever else stands there."""
_NO_PERSON = {
    "account", "accounts", "app", "application", "asset", "assets", "backlog", "bug", "building", "car", "case",
    "certificate", "certification", "claim", "company", "computer", "contract", "contracts", "data", "deal",
    "department", "dept", "device", "document", "email", "equipment", "facility", "file", "firm", "hardware",
    "inventory", "invoice", "issue", "item", "job", "laptop", "lead", "license", "listing", "loan", "machine",
    "message", "mile", "mileage", "office", "opportunity", "order", "organisation", "organization", "page", "password",
    "phone", "plant", "policy", "portfolio", "position", "post", "posting", "product", "products", "project", "queue",
    "receivable", "receivables", "record", "relationship", "repo", "repository", "request", "requisition", "role",
    "seniority", "server", "service", "session", "shop", "site", "software", "stock", "store", "subscription", "system",
    "task", "tasks", "team", "tenure", "ticket", "tickets", "tool", "vacancy", "vehicle", "work", "working",
}  # fmt: skip
"""Words beside which "age" is not that of a person."""
_MOMENT = {"at", "when", "on", "upon"}
"""What follows them after "age" says when, not whose: the age at the start of a contract is a person's."""
_OF_THINGS_ZH = re.compile(
    "(账户|账号|帐户|帐号|设备|产品|公司|企业|合同|工单|团队|部门|车辆|项目|系统|资产|库存|机器|工作|服务)(的|使用)?年[龄齡]"
)
_AGE_IN_ONE = re.compile(
    rf"({'|'.join(sorted(_PERSON))})ages?|ages?(at|when)[a-z]+"
    "|age(s|band|bands|bin|bracket|bucket|cat|category|class|code|group|groups|grp|interval|level|month|months|num"
    "|quartile|range|year|years|yr|yrs)?"
)
_CODES = tuple(
    (frozenset(male.split()), frozenset(female.split()))
    for male, female in (
        ("m", "f"), ("male males", "female females"), ("man men", "woman women"), ("男", "女"), ("男性", "女性"),
        ("mr", "ms mrs miss mx"), ("mister", "miss missus"), ("先生", "女士 小姐 太太"), ("boy", "girl"), ("he", "she"),
        ("he/him", "she/her"), ("male", "woman"), ("man", "female"),
    )
)  # fmt: skip
"""Codes of men and of women that stand in one column."""
_NEITHER = {
    "x", "d", "o", "u", "n/a", "na", "-", "?", "other", "others", "unknown", "divers", "diverse", "nonbinary",
    "non-binary", "non binary", "undisclosed", "not disclosed", "not specified", "prefer not to say", "they",
    "they/them", "mx", "dr", "prof", "未知", "其他", "不详", "保密",
}  # fmt: skip
"""Codes that stand beside a pair of gender."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[\u3400-\u9fff]+")
_INITIAL = re.compile(r"\b([A-Za-z])\.(?=[A-Za-z]\b)")


def known(name: str, texts: Iterable[str]) -> str:
    """What protected attribute a column is, by its name or else by its cells; empty for any other."""
    of_name = attribute(name)
    return of_name or ("gender, by its values" if gender_codes(texts) else "")


def attribute(name: str) -> str:
    """The protected attribute that a column of this name holds; empty for any other. "DateOfBirth" -> "age"."""
    words = [word.lower() for word in _WORD.findall(_INITIAL.sub(r"\1", name))]  # D.O.B. is one word
    spoken = f" {' '.join(words)} "
    for protected, phrases in _PHRASES.items():
        if any(f" {phrase} " in spoken for phrase in phrases):
            return protected
    words = [_OF_THINGS_ZH.sub("", word) for word in words]
    for protected, meant in _WORDS.items():
        if any(_means(word, meant) for word in words) or (protected == "age" and _age_of_a_person(words)):
            return protected
    return _alone(words)


def gender_codes(texts: Iterable[str]) -> bool:
    """Whether the cells that are not empty are a pair of codes of gender (and what stands for neither)."""
    given = {text.strip().rstrip(".").lower() for text in texts} - {""}
    return any(given & male and given & female and given <= male | female | _NEITHER for male, female in _CODES)


def reason(protected: str) -> str:
    """Why such a column is no input of a model."""
    return f"protected attribute ({protected})"


def _means(word: str, meant: tuple[str, ...]) -> bool:
    """Chinese has no spaces between words: there a part of the name is enough."""
    return word in meant or (not word.isascii() and any(part in word for part in meant if not part.isascii()))


def _age_of_a_person(words: list[str]) -> bool:
    """Whether "age" is among the words and no thing whose age it is. "age at hire", but not "account age"."""
    place = next((place for place, word in enumerate(words) if _AGE_IN_ONE.fullmatch(word)), None)
    if place is None:
        return False
    if place and words[place - 1] in _PERSON:
        return True
    moment = next((later for later in range(place + 1, len(words)) if words[later] in _MOMENT), len(words))
    return not _NO_PERSON & set(words[:moment])


def _alone(words: list[str]) -> str:
    """The attribute of a name that is one telling word, with nothing of weight beside it."""
    weighty = [word.removeprefix("是否").removeprefix("为") for word in words if word not in _NO_WEIGHT]
    return _ALONE.get(weighty[0], "") if len(weighty) == 1 else ""
