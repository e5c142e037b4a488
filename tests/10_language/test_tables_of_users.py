# SPDX-License-Identifier: Apache-2.0
"""Legends, crosswalks and rules as spreadsheets write them, and what is wrong in them."""

import pytest

from terrapatch.errors import LegendError
from terrapatch.labels.label import _with_ignored
from terrapatch.legend import NODATA, load_crosswalk, load_legend, table_rows
from terrapatch.settings import LabelsSettings
from terrapatch.vectors import FieldCrosswalk, network_rules

WALK = "source_code;source_name;code\n11;Forêt, dense;1\n12;Eau;\n"
LEGEND = "level,code,abbrev,name,parent,color\n"


def write(path, text, encoding="utf-8", end="\n"):
    path.write_bytes(text.replace("\n", end).encode(encoding))
    return str(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_what_spreadsheets_write_is_read(tmp_path, encoding, end, separator):
    path = write(tmp_path / "w.csv", WALK.replace(";", separator), encoding, end)
    walk = load_crosswalk(path)
    assert walk.codes == {11: 1, 12: NODATA}
    assert walk.names[11] == "Forêt, dense"


@pytest.mark.parametrize(
    "text",
    ['sep=;\nsource_code;code\n"11";1\n', "\ufeffsep=;\nsource_code;code\n11;1\n",
     " Source_Code , CODE \n 11.0 , 1 \n", "# note\nsource_code,code,,\n11,1,,\n,,,\n",
     'source_code,source_name,code\n11,"Forest, dense",1.0\n'],
)  # fmt: skip
def test_other_forms_of_a_table(tmp_path, text):
    assert load_crosswalk(write(tmp_path / "w.csv", text)).codes == {11: 1}
    legend = load_legend("cerradata4mm")
    assert FieldCrosswalk.load(str(tmp_path / "w.csv"), legend).codes == {"*": {"11": 1}}


@pytest.mark.parametrize(
    ("text", "said"),
    [("source_code,code\n11,0\n11,3\n", "source_code 11 has two rows with different codes"),
     ("source_code,code\n11,0\n11.0,3\n", "source_code 11 has two rows with different codes"),
     ("source_code,class\n11,0\n", "no column code; the first line names source_code, class"),
     ("source_code,code,code\n11,0,1\n", "two columns code"),
     ("source_code,source_name,code\n11,Forest, dense,1\n", "line 2: 4 cells where the first line"),
     ("source_code,source_name,code\n11,1\n", "line 2: 2 cells where the first line names 3"),
     ("source_code,code\n11,x\n", "row 1:"), ("", "the table is empty"),
     ("# only this\n", "the table is empty")],
)  # fmt: skip
def test_crosswalks_that_say_two_things_or_none_are_refused(tmp_path, text, said):
    path = write(tmp_path / "w.csv", text)
    legend = load_legend("cerradata4mm")
    for load in (load_crosswalk, lambda name: FieldCrosswalk.load(name, legend)):
        with pytest.raises(LegendError, match=said) as error:
            load(path)
        assert "w.csv" in str(error.value)
        assert "\n" not in str(error.value)


def test_the_same_row_twice_says_one_thing(tmp_path):
    path = write(tmp_path / "w.csv", "source_code,code\n11,0\n11,0\n")
    assert load_crosswalk(path).codes == {11: 0}
    assert FieldCrosswalk.load(path, load_legend("cerradata4mm")).codes == {"*": {"11": 0}}


def test_a_code_is_listed_or_ignored_but_not_both(tmp_path):
    path = write(tmp_path / "w.csv", "source_code,code\n11,0\n12,ignore\n")
    legend = load_legend("cerradata4mm")
    with pytest.raises(LegendError, match=r"11 has a row there and stands under ignore"):
        FieldCrosswalk.load(path, legend, ignored=["11"])
    assert FieldCrosswalk.load(path, legend, ignored=["12", "99.0"]).codes["*"]["99"] < 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [("a,0,W,Water,,#00f\n", "row 1: color '#00f' is none of the form #rrggbb"),
     ("a,0,W,Water,,blue\n", "color 'blue'"), ("a,0,W,Water,,\n", "color ''"),
     ("a,0,W,Water,,#12345g\n", "color '#12345g'"),
     ("a,0,W,Water,,#000000\na,0,F,Forest,,#000001\n", "code 0 stands in several rows"),
     ("a,0,W,Water,,#000000\na,1,F,Water,,#000001\n", "name Water stands in several rows"),
     ("a,0,W,Water,,#000000\na,1,W,Forest,,#000001\n", "abbrev W stands in several rows"),
     ("a,0,W,,,#000000\n", "the class has no name"), ("a,x,W,Water,,#000000\n", "'x' is no whole number")],
)  # fmt: skip
def test_legends_are_checked_when_they_are_read(tmp_path, rows, said):
    with pytest.raises(LegendError, match=said) as error:
        load_legend(write(tmp_path / "l.csv", LEGEND + rows))
    assert "l.csv" in str(error.value)


def test_a_legend_may_begin_with_its_colours(tmp_path):
    text = "color,code,name\n#0000ff,0,Water\n#00ff00,1.0,Forest\n# a comment\n"
    legend = load_legend(write(tmp_path / "l.csv", text))
    assert [(c.code, c.color) for c in legend.finest.classes] == [(0, "#0000ff"), (1, "#00ff00")]


def test_rules_with_decimal_commas_and_rules_that_differ(tmp_path):
    head = "field;value;action;kind;buffer_m\n"
    path = write(tmp_path / "r.csv", head + "type;a;Select;road;2,5\ntype;b;drop;;\n", "utf-8-sig")
    assert network_rules(path).rules[0].buffer_m == 2.5
    path = write(tmp_path / "s.csv", head + "type;a;select;road;2\ntype;a;drop;;\n")
    with pytest.raises(LegendError, match="type = a has two rows that differ"):
        network_rules(path)
    with pytest.raises(LegendError, match="no column action, kind, buffer_m"):
        network_rules(write(tmp_path / "t.csv", "field;value\na;1\n"))


def test_packaged_tables_are_read_as_before():
    assert len(table_rows("networks", "bdtopo_v3_roads")) == 9
    assert len(load_crosswalk("terraclass_cerrado").codes) > 10
    assert {row["product"] for row in table_rows("vectors", "schemas")} >= {
        "rpg",
        "bdtopo_v2_roads",
    }


def test_codes_of_maps_are_listed_or_ignored_too(tmp_path):
    write(tmp_path / "w.csv", "source_code,code\n11,0\n")
    wanted = LabelsSettings(crosswalk=str(tmp_path / "w.csv"), ignore_codes=(11, "CS1"))
    with pytest.raises(LegendError, match=r"code\(s\) \[11\] have a row there"):
        _with_ignored(wanted)
    wanted = LabelsSettings(crosswalk=str(tmp_path / "w.csv"), ignore_codes=("12.0", "CS1"))
    assert _with_ignored(wanted).codes == {11: 0, 12: NODATA}
