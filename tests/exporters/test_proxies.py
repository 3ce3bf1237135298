"""Protected attributes by name, near-perfect proxies by measure: never inputs; ordinary columns stay."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from exporters.data import associations, attrition, protected, proxies, synthetic
from exporters.data.dataset import Dataset
from exporters.data.schema import Column
from exporters.data.table import Cells
from exporters.errors import DataError
from serving.contract import Text

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def graded() -> Dataset:
    return synthetic.load(400, 3)


def with_input(dataset: Dataset, name: str, cells: Cells) -> Dataset:
    """The dataset with one input more."""
    kind = "category" if cells.dtype.kind == "U" else "number" if cells.ndim == 1 else "history"
    table = replace(dataset.table, columns={**dataset.table.columns, name: cells})
    return replace(dataset, table=table, inputs=(*dataset.inputs, Column(name, kind, Text(name, name))))


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        *((name, "gender") for name in ("Gender", "sex", "GenderID", "SEX", "性别", "员工性别", "female", "male")),
        *(
            (name, "gender")
            for name in ("is_female", "IsMale", "is_man", "性別", "男女", "是否女", "Salutation", "称谓")
        ),
        *((name, "age") for name in ("Age", "employee_age", "AgeBand", "DateOfBirth", "DOB", "birth_year", "出生日期")),
        *((name, "age") for name in ("年齡", "岁数", "入职岁数", "YOB", "D.O.B.", "empage", "agegroup", "AgeBucket")),
        *((name, "age") for name in ("age_cat", "Age_Months", "age_when_hired", "AgeAtJoining", "Average_Age")),
        *((name, "age") for name in ("age_at_contract_start", "CompanyEmployeeAge", "Age (in years)", "age_sq")),
        *((name, "marital status") for name in ("MaritalStatus", "maritalstatus", "is_married", "婚姻状况")),
        *((name, "marital status") for name in ("Single", "is_single", "婚", "婚否", "civil_status")),
        *((name, "ethnicity") for name in ("minority", "mother_tongue")),
        *((name, "race") for name in ("skin_color", "SkinColour", "is_black")),
        *((name, "nationality") for name in ("Country of birth", "CountryOfBirth", "birthplace", "籍贯", "出生地")),
        *((name, "identity number") for name in ("身份证号", "id_card", "NationalID")),
        *((name, "political affiliation") for name in ("党员", "是否党员", "party_member")),
        ("HispanicLatino", "ethnicity"),
        ("民族", "ethnicity"),
        ("RaceDesc", "race"),
        ("Religion", "religion"),
        ("has_disability", "disability"),
        ("CitizenDesc", "nationality"),
        ("国籍", "nationality"),
        ("Pregnant", "pregnancy"),
        ("sexual_orientation", "sexual orientation"),
        ("政治面貌", "political affiliation"),
    ],
)
def test_protected_attributes_are_known_by_their_names(name, attribute):
    assert protected.attribute(name) == attribute


@pytest.mark.parametrize(
    "name",
    [
        "Manager",
        "wage",
        "average_hours",
        "usage",
        "percentage",
        "AccountAge",
        "product_age",
        "trace",
        "司龄",
        "工龄",
        "EmpJobRole",
        *("wages", "Percentage", "page", "manage", "language", "mileage", "MileAge", "storage", "package", "coverage"),
        *("engagement", "stage", "message", "leverage", "agency", "agenda", "teenage", "management", "storage_at_home"),
        *("single_sign_on", "SingleSource", "black_belt", "whiteboard", "man_hours", "ms_teams_calls", "mr_count"),
        *("account_age", "AgeOfAccount", "account_age_at_month_end", "TeamAge", "company_age", "EquipmentAge"),
        *("contract_age", "ticketAgeDays", "job_age", "tenure_age", "employee_account_age", "账户年龄", "设备使用年龄"),
        *("hours", "tenure", "job_title", "third_party", "party_size", "Sussex", "子女数", "岁末奖金", "年限"),
    ],
)
def test_names_that_only_look_like_them_are_not(name):
    assert protected.attribute(name) == ""


@pytest.mark.parametrize(
    ("texts", "is_gender"),
    [
        (["M", "F", ""], True),
        (["f", "m", "x"], True),
        (["Male", "FEMALE", "Prefer not to say"], True),
        (["男", "女", "未知"], True),
        (["Mr.", "Ms.", "Mrs.", "Dr."], True),
        (["S", "M", "L"], False),
        (["M"], False),
        (["M", "F", "T"], False),
        (["yes", "no", ""], False),
        (["", ""], False),
    ],
)
def test_gender_is_known_by_a_pair_of_its_codes(texts, is_gender):
    assert protected.gender_codes(texts) is is_gender
    assert protected.known("code", texts) == ("gender, by its values" if is_gender else "")


def test_an_input_that_holds_codes_of_gender_becomes_an_attribute_whatever_its_name(graded):
    codes = np.array(["M", "F"])[np.arange(len(graded.table)) % 2]  # nothing to do with the gender in the table
    dataset = with_input(graded, "code", codes)
    clean = proxies.without_proxies(dataset)
    assert clean.inputs == graded.inputs
    assert clean.left_out["code"] == "protected attribute (gender, by its values)"
    with pytest.raises(DataError, match="column 'code': asked for as an input, but it is a protected attribute"):
        proxies.without_proxies(dataset, ["code"])


def test_an_attribute_left_out_under_another_reason_guards_by_its_codes(graded):
    codes = np.array(["M", "F"])[np.arange(len(graded.table)) % 2]
    table = replace(graded.table, attributes={**graded.table.attributes, "code": codes})
    dataset = replace(graded, table=table, left_out={**graded.left_out, "code": "not wanted"})
    clean = proxies.without_proxies(with_input(dataset, "x", np.where(codes == "M", 1.0, 2.0)))
    assert clean.left_out["x"].startswith("near-perfect proxy of 'code'")


def test_ordinary_inputs_stay(graded):
    assert proxies.without_proxies(graded) == graded
    assert proxies.without_proxies(attrition.load(400, 3)).left_out.keys() == {"gender", "age"}


def test_an_input_that_bears_a_protected_name_becomes_an_attribute(graded):
    clean = proxies.without_proxies(with_input(graded, "Nationality", np.repeat("x", len(graded.table))))
    assert clean.inputs == graded.inputs
    assert clean.left_out["Nationality"] == "protected attribute (nationality)"
    assert "Nationality" in clean.table.attributes
    assert "Nationality" not in clean.table.columns


def _club(dataset: Dataset) -> Cells:
    """A club of men and one of women, but for one in a hundred."""
    wrong = np.arange(len(dataset.table)) % 100 == 0
    return np.where((dataset.table.attributes["gender"] == "male") ^ wrong, "rugby", "netball")


def _code(dataset: Dataset) -> Cells:
    return np.where(dataset.table.attributes["gender"] == "male", 1.0, 2.0)


def _retirement(dataset: Dataset) -> Cells:
    return 65 - dataset.table.attributes["age"] + np.random.default_rng(1).normal(scale=1.0, size=len(dataset.table))


def _cohort(dataset: Dataset) -> Cells:
    return np.array([f"cohort {int(age) // 4}" for age in dataset.table.attributes["age"].tolist()])


def _height(dataset: Dataset) -> Cells:
    """A history of a number that nearly tells men from women, some months missing."""
    male = dataset.table.attributes["gender"] == "male"
    months = male[:, None] * 20.0 + np.random.default_rng(1).normal(scale=3.0, size=(len(male), 12))
    months[::3, :4] = np.nan
    return months


@pytest.mark.parametrize(
    ("make", "of", "measure"),
    [
        (_club, "gender", "Cramer's V"),
        (_code, "gender", ""),
        (_retirement, "age", "rank correlation"),
        (_cohort, "age", "correlation ratio"),
        (_height, "gender", ""),
    ],
)
def test_a_column_that_nearly_gives_an_attribute_away_is_left_out_and_says_so(graded, make, of, measure):
    clean = proxies.without_proxies(with_input(graded, "x", make(graded)))
    assert clean.inputs == graded.inputs
    assert clean.left_out["x"].startswith(f"near-perfect proxy of '{of}' ({measure}")
    assert 0.95 <= float(clean.left_out["x"][-5:-1]) <= 1.0
    assert np.array_equal(clean.table.attributes["x"], make(graded), equal_nan=make(graded).dtype.kind == "f")


def test_a_number_that_tells_three_groups_apart_is_a_proxy_of_them(graded):
    status = np.array(["single", "married", "widowed"])[np.arange(len(graded.table)) % 3]
    coded = np.array([2.0, 7.0, 1.0])[np.arange(len(graded.table)) % 3]
    clean = proxies.without_proxies(with_input(with_input(graded, "MaritalStatus", status), "x", coded))
    assert clean.left_out["x"].startswith("near-perfect proxy of 'MaritalStatus'")


def test_what_is_only_related_to_an_attribute_stays(graded):
    rng = np.random.default_rng(1)
    male = graded.table.attributes["gender"] == "male"
    for cells in (
        np.where(rng.random(len(male)) < 0.15, ~male, male) * 1.0,  # right in 85 of 100
        graded.table.attributes["age"] + rng.normal(scale=8.0, size=len(male)),
        np.array([f"badge {number}" for number in range(len(male))]),  # a category of its own for every row
    ):
        assert proxies.without_proxies(with_input(graded, "x", cells)).left_out == graded.left_out


def test_a_proxy_that_was_asked_for_by_name_is_refused(graded):
    dataset = with_input(graded, "club", _club(graded))
    with pytest.raises(
        DataError, match="column 'club': asked for as an input, but it is a near-perfect proxy of 'gender'"
    ):
        proxies.without_proxies(dataset, ["hours", "club"])


def test_a_table_of_proxies_alone_is_refused(graded):
    table = replace(graded.table, columns={"club": _club(graded)})
    alone = replace(graded, table=table, inputs=(Column("club", "category", Text("club", "俱乐部")),))
    with pytest.raises(DataError, match="no input column is left"):
        proxies.without_proxies(alone)


def test_a_few_rows_conclude_nothing(graded):
    few = with_input(graded, "club", _club(graded))
    few = replace(few, table=few.table.rows(np.flatnonzero(few.table.target >= 0)[:29]))
    assert proxies.without_proxies(few).inputs == few.inputs


def test_the_measures_are_those_of_the_literature():
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 9, 500) * 1.0, rng.normal(size=500)
    y += x / 4
    assert associations.rank_correlation(x, -y) == pytest.approx(stats.spearmanr(x, y).statistic)
    truth = y > 1
    area = stats.mannwhitneyu(x[truth], x[~truth]).statistic / (truth.sum() * (~truth).sum())
    assert associations.auc(x, truth) == pytest.approx(area)
    labels = np.array(["a", "b", "c"])
    left, right = labels[rng.integers(0, 3, 500)], labels[rng.integers(0, 3, 500)]
    assert associations.cramers_v(left, left) == pytest.approx(1.0)
    assert associations.cramers_v(left, right) < 0.1
    mixed = np.where(rng.random(500) < 0.3, right, left)
    crossed = np.array([[((left == one) & (mixed == other)).sum() for other in labels] for one in labels])
    plain = stats.contingency.association(crossed, method="cramer")
    assert associations.cramers_v(left, mixed) == pytest.approx(plain, abs=0.01)
    assert np.isnan(associations.auc(x, np.ones(500, bool)))
    assert associations.rank_correlation(x, np.ones(500)) == 0.0
