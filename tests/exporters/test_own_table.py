"""Somebody's own table: what cannot be used is refused by line and column, what can be is read as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest

from exporters.data import own_table, schema, splits, synthetic
from exporters.errors import DataError
from exporters.models import classifier
from tests.exporters.conftest import nans_agree

pytestmark = pytest.mark.unit

MAPPING = """
id = "who"
[target]
column = "rating"
values = { 1 = "low", 2 = "high" }
[left_out]
sex = "protected attribute"
[groups]
sex = []
[columns]
weekly = { low = 0, high = 168, unit = "h/week", required = true }
"""
TABLE = "who,weekly,team,sex,rating\nann,40,red,f,1\nbob,41.5,,m,2\ncid,38,blue,m,1\ndee,39,red,f,2\n"


@pytest.fixture
def read(tmp_path: Path):
    """Reads a table given as text (or bytes) under a mapping given as text."""

    def _read(table: str | bytes, mapping: str | None = MAPPING):
        path = tmp_path / "table.csv"
        path.write_bytes(table if isinstance(table, bytes) else table.encode())
        if mapping is None:
            return own_table.load(path, None)
        (tmp_path / "mapping.toml").write_text(mapping, "utf-8")
        return own_table.load(path, tmp_path / "mapping.toml")

    return _read


def schema_table(rows: int = 60) -> str:
    """A table whose columns bear the schema's names, every employee of it with a grade."""
    table = synthetic.load(rows, 1).table
    grades = [table.classes[c] for c in table.target.tolist()]
    return synthetic.table_csv(table, {"employee": table.groups.tolist(), "grade": grades})


def test_unmentioned_columns_are_inferred_and_those_left_out_are_no_input(read):
    dataset = read(TABLE)
    assert [(column.name, column.kind) for column in dataset.inputs] == [("weekly", "number"), ("team", "category")]
    assert dataset.table.columns["team"].tolist() == ["red", "", "blue", "red"]
    assert dataset.table.attributes["sex"].tolist() == ["f", "m", "m", "f"]
    assert dataset.left_out == {"sex": "protected attribute"}
    assert [dataset.table.classes[c] for c in dataset.table.target] == ["low", "high", "low", "high"]
    assert dataset.table.groups.tolist() == ["ann", "bob", "cid", "dee"]


def test_a_table_with_the_schemas_names_needs_no_mapping(read):
    dataset = read(schema_table(), None)
    assert nans_agree(synthetic.load(60, 1).table, dataset.table)
    assert len(dataset.inputs) == 20


def test_a_byte_order_mark_and_windows_line_ends_are_tolerated(read):
    plain, windows = read(TABLE), read(b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode())
    assert nans_agree(plain.table, windows.table)
    assert plain.sha256 != windows.sha256


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("bob,41.5,,m,2", "bob,41.5,,m,3"), "line 3, column 'rating': got the text '3', expected one of 1, 2"),
        (("bob,41.5,,m,2", "bob,41.5,,m,"), "line 3, column 'rating': got an empty cell"),
        (("cid,38", "cid,200"), "line 4, column 'weekly': got 200, expected 0 to 168 h/week"),
        (("cid,38", "cid,"), "line 4, column 'weekly': got an empty cell, expected a value"),
        (("cid,38", "cid,1_0"), "column 'weekly'"),
        (("ann,40,red,f,1", "ann,40,red,f"), "line 2: got 4 cells, expected 5"),
        (("ann,40,red,f,1", "ann,40,red,f,1,9"), "line 2: got 6 cells, expected 5"),
        (("who,weekly,team", "who,weekly,weekly"), "column 'weekly' is there twice, in cells 2 and 3"),
        (("who,weekly", "who,"), "cell 2 of the header is empty"),
        (("rating\n", "result\n"), "no column 'rating'; the file has who, weekly"),
        (("ann,40,red", 'ann,40,"red'), "line 2"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_where_it_is_wrong(read, change, says):
    typed = MAPPING.replace("weekly = {", 'weekly = { type = "number",')
    with pytest.raises(DataError) as refusal:
        read(TABLE.replace(*change), typed)
    assert says in refusal.value.message
    assert "table.csv" in refusal.value.message


@pytest.mark.parametrize("text", ["many", "nan", "inf", "1e999", "0x10", "1,5", "４０"])
def test_text_in_a_number_column_is_refused_with_its_line(read, text):
    typed = MAPPING.replace("weekly = {", 'weekly = { type = "number",')
    with pytest.raises(DataError, match=r"line 4, column 'weekly': got the text .*, expected a number"):
        read(TABLE.replace("cid,38", f'cid,"{text}"'), typed)


def test_lines_are_counted_in_the_file_also_after_a_cell_of_several_lines(read):
    with pytest.raises(DataError, match="line 5, column 'rating'"):
        read(TABLE.replace("ann,40,red", 'ann,40,"r\ne\nd"').replace("bob,41.5,,m,2", "bob,41.5,,m,3"))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"who,weekly,team,sex,rating\n", "no rows below the header"),
        (b"who,weekly\nann,40\nb\xf6b,41\n", "line 3: byte 0xf6 is not UTF-8"),
    ],
)
def test_a_file_that_is_no_table_is_refused(read, table, says):
    with pytest.raises(DataError) as refusal:
        read(table)
    assert says in refusal.value.message


def test_a_schema_table_without_a_required_column_or_with_an_unknown_one_is_refused_by_name(read):
    text = schema_table()
    with pytest.raises(DataError, match="missing column 'hours'"):
        read(text.replace("hours", "weekly", 1), None)
    with pytest.raises(DataError, match="missing column 'grade'"):
        read(text.replace("grade", "rating", 1), None)
    with pytest.raises(DataError, match="unknown column 'shoe_size'"):
        read("\n".join(f"{line},1" if n else f"{line},shoe_size" for n, line in enumerate(text.splitlines())), None)


def test_optional_columns_that_a_schema_table_lacks_are_no_inputs_and_are_named_in_one_line(read, capsys):
    dataset = read("hours,quality,grade\n40,3,A\n41,,A\n38,2,B\n39,4,B\n40,1,C\n45,2,C\n", None)
    assert [column.name for column in dataset.inputs] == ["hours", "quality"]
    (line,) = capsys.readouterr().err.splitlines()
    absent = [column.name for column in schema.INPUTS if column.name not in ("hours", "quality")]
    assert len(absent) == 18
    assert line.endswith(f"no inputs of this model: {', '.join(absent)}")


def test_a_schema_table_with_every_column_says_nothing_of_absent_ones(read, capsys):
    read(schema_table(), None)
    assert capsys.readouterr().err == ""


def test_a_class_with_a_single_row_is_refused(read):
    with pytest.raises(DataError, match="class 'high' has 1 rows"):
        read(TABLE.replace("dee,39,red,f,2", "dee,39,red,f,1"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("[groups]", "[gruops]"), "gruops"),
        (('2 = "high"', '2 = "low"'), "expected at least two"),
        (("[groups]\nsex = []", "[groups]\nteam = []"), "groups.team"),
        (('id = "who"', 'id = "who"\nmonth = "weekly"'), "month: 'weekly' is the target, the id or an input as well"),
        (('id = "who"', 'id = "who"\nmonth = "when"'), "no column 'when'"),
        (("high = 168", 'high = "168"'), "columns"),
        (("weekly = {", 'weekly = { type = "history",'), "columns.weekly.type: got history"),
        (('id = "who"', 'id = "who'), "mapping.toml"),
        (('id = "who"', 'id = "whom"'), "no column 'whom'"),
        (('id = "who"', 'sha256 = "00"'), "expected 00"),
    ],
)
def test_a_mapping_with_a_slip_of_the_pen_is_refused(read, change, says):
    with pytest.raises(DataError) as refusal:
        read(TABLE, MAPPING.replace(*change))
    assert says in refusal.value.message


def test_a_table_of_texts_that_are_numbers_stays_a_category_when_the_mapping_says_so(read):
    dataset = read(TABLE, MAPPING.replace("weekly = {", 'weekly = { type = "category",'))
    assert dataset.table.columns["weekly"].tolist() == ["40", "41.5", "38", "39"]


def test_bands_of_an_attribute_ask_for_numbers(read):
    with pytest.raises(DataError, match="line 2, column 'sex': got the text 'f', expected a number"):
        read(TABLE, MAPPING.replace("sex = []", "sex = [30]"))


def test_a_column_named_like_the_graph_input_is_refused_when_the_contract_is_drawn_up(read):
    from exporters.models import program
    from exporters.public.cross_validation import NOWHERE

    dataset = read(TABLE.replace("team", "features"))
    with pytest.raises(DataError, match="cannot stand in one contract"):
        program.class_draft("m", dataset, dataset.table, NOWHERE)
    assert np.isfinite(dataset.table.columns["weekly"]).all()


PEOPLE = (
    "employee,month,hours,department,gender,age,shoe_size,rating\n"
    "ann,2024-01,40,red,f,29,38,1\nbob,2024-01,41,,m,35,44,2\nann,2024-02,38,blue,f,41,38,1\ndee,2024-01,39,red,f,,40,2\n"
)
TARGET_ALONE = '[target]\ncolumn = "rating"\nvalues = { 1 = "low", 2 = "high" }\n'


def test_columns_with_the_schemas_names_mean_what_the_schema_says_also_under_a_mapping(read):
    of_schema = {column.name: column for column in schema.COLUMNS}
    hours, department, shoe_size = read(PEOPLE, TARGET_ALONE).inputs
    assert (hours, department) == (of_schema["hours"], of_schema["department"])
    assert (shoe_size.kind, shoe_size.unit, shoe_size.high, shoe_size.required) == ("number", "", None, False)
    with pytest.raises(DataError, match="line 2, column 'hours': got 400, expected 0 to 168 h/week"):
        read(PEOPLE.replace("ann,2024-01,40", "ann,2024-01,400"), TARGET_ALONE)
    with pytest.raises(DataError, match="line 2, column 'hours': got an empty cell, expected a value"):
        read(PEOPLE.replace("ann,2024-01,40", "ann,2024-01,"), TARGET_ALONE)


def test_what_the_mapping_says_of_a_schema_column_goes_before_the_schema(read):
    def hours(said: str) -> schema.Column:
        return read(PEOPLE, f"{TARGET_ALONE}[columns]\nhours = {{ {said} }}\n").inputs[0]

    said = hours('high = 60, required = false, title = { en = "worked", zh = "工时" }')
    assert (said.low, said.high, said.unit, said.required, said.title.en) == (0, 60, "h/week", False, "worked")
    assert hours('type = "category"').kind == "category"
    monthly = hours('unit = "h/month", low = 1')
    assert (monthly.low, monthly.high, monthly.required) == (1, None, True)  # 168 hours are a bound of the week alone


def test_the_schemas_identifiers_are_no_inputs_unless_the_mapping_asks_and_attributes_never_are(read):
    dataset = read(PEOPLE, TARGET_ALONE)
    assert dataset.table.groups.tolist() == ["ann", "bob", "ann", "dee"]
    assert set(dataset.left_out) == {"month", "gender", "age"}
    assert "protected" in dataset.left_out["age"]
    assert dataset.groups == {"gender": (), "age": schema.AGE_BANDS}
    asked = read(
        PEOPLE,
        f'id = "month"\n{TARGET_ALONE}[left_out]\ngender = "mine"\n[columns]\nemployee = {{ required = true }}\n',
    )
    assert [column.name for column in asked.inputs] == ["employee", "hours", "department", "shoe_size"]
    assert asked.left_out == {"gender": "mine", "age": schema.LEFT_OUT["age"]}
    assert asked.groups == {"age": schema.AGE_BANDS}


def test_rows_of_several_months_without_an_id_are_refused(read):
    dated = PEOPLE.replace("employee,month,", "who,month,")
    with pytest.raises(
        DataError, match=r"column 'month': rows of 2 months, and nothing says whose .* as `id`"
    ) as refusal:
        read(dated, TARGET_ALONE)
    assert refusal.value.field == "id"
    with pytest.raises(DataError, match="column 'Period': rows of 2 months"):
        read(dated.replace("month", "Period", 1), f'month = "Period"\n{TARGET_ALONE}')
    with pytest.raises(DataError, match="rows of 2 months"):
        read(
            "hours,month,grade\n40,2024-01,A\n41,2024-02,A\n38,2024-01,B\n39,2024-02,B\n40,202402,C\n45,202401,C\n",
            None,
        )
    assert read(dated, f'id = "who"\n{TARGET_ALONE}').owners_known


def test_rows_of_one_month_without_an_id_may_be_of_anyone(read):
    dated = PEOPLE.replace("employee,month,", "badge,month,").replace("2024-02", "202401")
    dataset = read(dated, TARGET_ALONE)
    assert not dataset.owners_known
    assert len(set(dataset.table.groups.tolist())) == len(dataset.table)
    assert not read("hours,quality,grade\n40,3,A\n41,,A\n38,2,B\n39,4,B\n40,1,C\n45,2,C\n", None).owners_known
    assert read(PEOPLE, TARGET_ALONE).owners_known


def test_the_mapping_names_the_month_by_which_the_split_goes_forward_in_time(read):
    months = [f"{2023 + n // 12}{n % 12 + 1:02d}" for n in range(24)]
    lines = [f"p{n % 40},{months[n % 24]},{35 + n % 7},{1 + n % 2}" for n in range(960)]
    table = "\n".join(["who,Period,weekly,rating", *lines])
    dataset = read(table, f'id = "who"\nmonth = "Period"\n{TARGET_ALONE}')
    assert [column.name for column in dataset.inputs] == ["weekly"]
    assert "Period" in dataset.left_out
    assert set(dataset.table.attributes["month"]) == {f"{month[:4]}-{month[4:]}" for month in months}
    training, held_out = (dataset.table.rows(mask) for mask in splits.split(dataset.table, 0.25, 1))
    assert max(training.attributes["month"]) < min(held_out.attributes["month"])
    assert not set(training.groups) & set(held_out.groups)
    with pytest.raises(DataError, match="line 3, column 'Period': got the text 'May', expected a month as in 2024-06"):
        read(table.replace("202302", "May", 1), f'id = "who"\nmonth = "Period"\n{TARGET_ALONE}')


def _column(cells: list[str]) -> str:
    """A table with a column "x" of these cells."""
    return "\n".join(["who,weekly,x,rating", *(f'p{n},{n},"{cell}",{1 + n % 2}' for n, cell in enumerate(cells))])


@pytest.mark.parametrize("odd", ["N/A", "45%", "52,310", "none", "2024-06-28"])
def test_a_column_of_numbers_but_for_a_few_cells_is_refused_where_it_is_none(read, odd):
    cells = [str(n) for n in range(18)] + ["", odd, odd]
    mapping = f'id = "who"\n{TARGET_ALONE}'
    with pytest.raises(DataError) as refusal:
        read(_column(cells), mapping)
    assert f"line 21, column 'x': got the text '{odd}', expected a number" in refusal.value.message
    assert 'type = "category"' in refusal.value.message
    assert read(_column(cells), f'{mapping}[columns]\nx = {{ type = "category" }}\n').inputs[1].kind == "category"


def test_categories_some_of_which_are_numbers_stay_categories(read):
    cells = [str(n) for n in range(17)] + ["", "N/A", "none"]  # 17 of 19
    assert read(_column(cells), f'id = "who"\n{TARGET_ALONE}').inputs[1].kind == "category"


@pytest.mark.parametrize("texts", [["45%", "50%"], ["52,310", "1,200.50"], ["$40", "€50"]])
def test_numbers_as_people_write_them_are_refused_as_such(read, texts):
    with pytest.raises(DataError, match=r"line 2, column 'x': got the text .*, expected a number, as 20 of 20 cells"):
        read(_column(texts * 10), f'id = "who"\n{TARGET_ALONE}')


@pytest.mark.parametrize("texts", [["2024-06-28", "2023-01-02"], ["28.06.2024", "02.01.2023"], ["E001", "E002"]])
def test_dates_and_codes_stay_categories(read, texts):
    assert read(_column(texts * 10), f'id = "who"\n{TARGET_ALONE}').inputs[1].kind == "category"


def test_a_column_that_is_no_input_may_hold_anything(read):
    cells = [str(n) for n in range(19)] + ["N/A"]
    mapping = f'id = "who"\n{TARGET_ALONE}[left_out]\nx = "mine"\n'
    assert read(_column(cells), mapping).table.attributes["x"][-1] == "N/A"


@pytest.mark.parametrize("text", ["1e39", "-3.5e38"])
def test_a_number_that_models_cannot_hold_is_refused_with_its_line(read, text):
    with pytest.raises(DataError, match=r"line 4, column 'x': got the text .*, expected a number no further from 0"):
        read(_column(["1", "3e38", text, "2"]), f'id = "who"\n{TARGET_ALONE}')


def test_gender_is_known_by_its_codes_and_compared_and_years_of_birth_are_no_bands_of_age(read):
    table = PEOPLE.replace("gender,age,", "code,YOB,").replace(",29,", ",1990,").replace(",35,", ",1980,")
    dataset = read(table, TARGET_ALONE)
    assert dataset.left_out["code"] == "protected attribute (gender, by its values)"
    assert dataset.left_out["YOB"] == "protected attribute (age)"
    assert dataset.groups == {"code": ()}


def test_a_mapping_that_asks_for_a_protected_attribute_is_refused(read):
    with pytest.raises(
        DataError, match=r"column 'age': asked for as an input, but it is a protected attribute \(age\)"
    ):
        read(PEOPLE, f"{TARGET_ALONE}[columns]\nage = {{ required = false }}\n")


def test_protected_attributes_are_known_by_their_names_and_compared_where_groups_are_few(read):
    table = PEOPLE.replace("gender,age,shoe_size", "MaritalStatus,EmployeeAge,民族").replace(",30,", ",,")
    dataset = read(table, TARGET_ALONE)
    assert [column.name for column in dataset.inputs] == ["hours", "department"]
    assert dataset.left_out["MaritalStatus"] == "protected attribute (marital status)"
    assert dataset.left_out["民族"] == "protected attribute (ethnicity)"
    assert dataset.groups == {"MaritalStatus": (), "EmployeeAge": schema.AGE_BANDS, "民族": ()}


def test_what_somebody_says_is_known_in_time_is_kept_and_has_to_be_a_column(read):
    assert read(TABLE, f'known_in_time = ["weekly"]\n{MAPPING}').known_in_time == ("weekly",)
    with pytest.raises(DataError, match="no column 'weakly'"):
        read(TABLE, f'known_in_time = ["weakly"]\n{MAPPING}')


def test_a_column_named_grade_is_no_input_of_a_model_that_learns_another_column(read):
    table = "who,hours,grade,rating\nann,40,A,1\nbob,41,C,2\ncid,38,A,1\ndee,39,C,2\n"
    target = '[target]\ncolumn = "rating"\nvalues = { 1 = "A", 2 = "B" }\n'
    dataset = read(table, f'id = "who"\n{target}')
    assert [column.name for column in dataset.inputs] == ["hours"]
    assert "name of the answer" in dataset.left_out["grade"]


def test_a_mapping_of_the_target_alone_reads_a_schema_table_as_no_mapping_does(read):
    text = schema_table()
    alone, plain = read(text, '[target]\ncolumn = "grade"\nvalues = { A = "A", B = "B", C = "C" }\n'), read(text, None)
    assert (alone.inputs, alone.left_out, alone.groups) == (plain.inputs, plain.left_out, plain.groups)
    assert alone.table.sha256() == plain.table.sha256()


def test_the_mapping_that_the_documentation_prints_can_be_trained_with(read):
    text = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text("utf-8")
    (printed,) = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    rows = [f"E{n},{'fm'[n % 2]},{25 + n % 30},{35 + n % 5},{2 + n % 3}" for n in range(60)]
    dataset = read("\n".join(["EmpNumber,Gender,Age,Hours,Rating", *rows]), printed)
    assert [column.name for column in dataset.inputs] == ["Hours"]
    assert set(dataset.left_out) == set(dataset.groups) == {"Gender", "Age"}
    assert classifier.make("m", dataset, 0, trees=2).contract.inputs[0].title.zh == "工时"
