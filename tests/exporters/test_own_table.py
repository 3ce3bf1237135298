"""Somebody's own table: what cannot be used is refused by line and column, what can be is read as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest

from exporters.data import own_table, schema, synthetic
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
