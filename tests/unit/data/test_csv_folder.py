"""The CSV layout: what is accepted, and where it says a bad row is."""

from __future__ import annotations

import csv
import io
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgplug.data.sources.csv_check import CheckedTable, check_tables
from kgplug.data.sources.csv_folder import file_name, open_folder, read_blocks
from kgplug.errors import DataError, UsageError

MOVIES = "id:int,title,year:int\n1,Alien,1979\n2,Brazil,1985\n"
USERS = "id,:LABEL\nann,Critic\nbob,Critic;Fan\n"
RATED = "user,movie:int,rating:float\nann,1,4.5\nbob,2,3\n"


def make(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def good(**changes: str | bytes) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {"movies": MOVIES, "users": USERS, "rated": RATED, **changes}
    paths = {
        "movies": "nodes/Movie.csv",
        "users": "nodes/User.csv",
        "rated": "relationships/User-RATED-Movie.csv",
    }
    return {paths[name]: content for name, content in files.items()}


def check(folder: Path) -> list[CheckedTable]:
    return check_tables(open_folder(folder), on_rows=lambda n: None)


def cells(folder: Path, table: int = 0) -> list[list[str]]:
    return [row for block in read_blocks(open_folder(folder)[table]) for row in block.rows]


def test_names_and_headers_say_what_a_file_holds(tmp_path: Path) -> None:
    movies, users, rated = check(make(tmp_path, good()))
    assert (movies.table.labels, movies.table.keys[0].name, movies.n_rows) == (("Movie",), "id", 2)
    assert [(c.name, c.type, c.is_list) for c in movies.table.properties] == [
        ("title", "string", False),
        ("year", "int", False),
    ]
    assert users.more_labels == ("Critic", "Fan")
    assert (rated.table.labels, rated.table.type) == (("User", "Movie"), "RATED")
    assert [c.name for c in rated.table.properties] == ["rating"]


def test_a_byte_order_mark_crlf_and_blank_lines_make_no_difference(tmp_path: Path) -> None:
    plain = make(tmp_path / "plain", {"nodes/Movie.csv": MOVIES})
    marked = make(tmp_path / "marked", {"nodes/Movie.csv": b"\xef\xbb\xbf" + MOVIES.replace("\n", "\r\n\r\n").encode()})
    assert open_folder(plain)[0].columns == open_folder(marked)[0].columns
    assert cells(plain) == cells(marked)
    check(marked)


def test_quoted_cells_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    make(tmp_path, {"nodes/Movie.csv": 'id:int,title\n1,"a, ""b""\r\nc"\n2,文字\n'})
    assert cells(tmp_path) == [["1", 'a, "b"\r\nc'], ["2", "文字"]]


BAD_ROWS = {
    "ragged row": ({"movies": MOVIES + "3,Cube\n"}, "nodes/Movie.csv, line 4: expected 3 cells, found 2"),
    "row too long": ({"movies": MOVIES + "3,Cube,1997,x\n"}, "nodes/Movie.csv, line 4: expected 3 cells, found 4"),
    "bad UTF-8": (
        {"movies": b"id:int,title,year:int\n1,Caf\xe9,1979\n2,B,1\n"},
        'nodes/Movie.csv, line 2, column "title": the bytes',
    ),
    "missing key": ({"movies": MOVIES + ",Cube,1997\n"}, 'line 4, column "id:int": the key is missing'),
    "duplicate key": (
        {"movies": MOVIES + "01,Cube,1997\n"},
        "line 4, column \"id:int\": the key '01' was already on line 2",
    ),
    "no number": (
        {"movies": MOVIES + "3,Cube,soon\n"},
        "line 4, column \"year:int\": expected a 64-bit integer, found 'soon'",
    ),
    "number too big": ({"movies": MOVIES + "3,Cube,9223372036854775808\n"}, 'line 4, column "year:int"'),
    "number with blanks": ({"movies": MOVIES + "3,Cube, 5\n"}, 'line 4, column "year:int"'),
    "not finite": ({"rated": RATED + "ann,2,nan\n"}, "line 4, column \"rating:float\": expected a number, found 'nan'"),
    "infinite": ({"rated": RATED + "ann,2,1e999\n"}, 'line 4, column "rating:float"'),
    "absent head": (
        {"rated": RATED + "cid,1,1\n"},
        "line 4, column \"user\": there is no User node with the key 'cid'",
    ),
    "absent tail": (
        {"rated": RATED + "ann,3,1\n"},
        "line 4, column \"movie:int\": there is no Movie node with the key '3'",
    ),
    "broken quoting": ({"movies": MOVIES + '3,"Cube"x,1\n'}, "line 4: the quoting is broken"),
    "unclosed quote": ({"movies": MOVIES + '3,"Cube,1\n4,Dune,2\n'}, "line 4: the quoting is broken"),
    "lines inside quotes count": (
        {"movies": 'id:int,title,year:int\n1,"two\nlines",1\n2,b\n'},
        "nodes/Movie.csv, line 4: expected 3 cells, found 2",
    ),
}


@pytest.mark.parametrize(("changes", "message"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_named_by_file_line_and_column(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(DataError) as caught:
        check(make(tmp_path, good(**changes)))
    assert message in str(caught.value)
    assert "(1 bad row in this file)" in str(caught.value)


def test_all_bad_rows_of_a_file_are_counted_once_each(tmp_path: Path) -> None:
    rows = "".join(f"{n},x,1\n" for n in range(3, 30_000))
    text = MOVIES + rows + "x,,y\n1,again,1\n,no key,1\n5\n"
    with pytest.raises(DataError, match=r"line 30001, .*\(4 bad rows"):
        check(make(tmp_path, {"nodes/Movie.csv": text}))


def test_a_key_may_come_back_only_far_away_and_is_still_found(tmp_path: Path) -> None:
    rows = "".join(f"k{n}\n" for n in range(50_000))
    with pytest.raises(DataError, match=r"line 50002.* 'k7' was already on line 9"):
        check(make(tmp_path, {"nodes/A.csv": "key\n" + rows + "k7\n"}))


BAD_HEADERS = {
    "empty file": ({"nodes/A.csv": ""}, "nodes/A.csv is empty"),
    "column without a name": ({"nodes/A.csv": "id,,x\n"}, "not a column name"),
    "two of one name": ({"nodes/A.csv": "id,x,x:int\n"}, 'two columns are called "x"'),
    "unknown type": ({"nodes/A.csv": "id,x:colour\n"}, 'unknown type "colour". Valid types: string, int'),
    "key of a list type": ({"nodes/A.csv": "id:int[]\n"}, "must be text or int"),
    "one end only": ({"nodes/A.csv": "id\n", "relationships/A-R-A.csv": "x\n"}, "first 2 column(s)"),
    "no such label": ({"nodes/A.csv": "id\n", "relationships/A-R-B.csv": "x,y\n"}, "there is no nodes/B.csv"),
    "other key type": (
        {"nodes/A.csv": "id:int\n", "relationships/A-R-A.csv": "x:int,y\n"},
        'column "y" is string, but the key "id:int" of nodes/A.csv is int',
    ),
    "hyphens in a name": ({"nodes/A.csv": "id\n", "relationships/A-R-B-C.csv": "x,y\n"}, "write a hyphen"),
    "two of one name but for blanks": ({"nodes/A.csv": "id,x, x\n"}, 'two columns are called "x"'),
    "pandas' index": ({"nodes/A.csv": ",id\n0,1\n"}, "write the file with index=False"),
    "blank first line": ({"nodes/A.csv": "\nid\n"}, "line 1: the line is blank; expected a header"),
    "Excel's note": ({"nodes/A.csv": "sep=;\nid;x\n"}, "Remove the line and import with --separator ';'"),
    "NUL byte": ({"nodes/A.csv": "id,title and more text\0\n"}, "holds NUL bytes"),
    "two files of one label": ({"nodes/A.csv": "id\n", "nodes/A.CSV": "id\n"}, "have the same name"),
    "quoted names": ({"nodes/A.csv": '"id";"title"\n"1";"Toy; Story"\n'}, "Import with --separator ';'"),
    "quoted names and tabs": ({"nodes/A.csv": '"id"\t"title"\n'}, "Import with --separator 'tab'"),
    "broken quoting": ({"nodes/A.csv": '"id"x,title\n'}, "the header is not valid CSV"),
    "packed file": ({"nodes/A.csv.gz": "id\n"}, "is not a .csv file"),
}


@pytest.mark.parametrize(("files", "message"), BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_bad_name_or_header_is_refused(tmp_path: Path, files: dict, message: str) -> None:
    with pytest.raises(DataError) as caught:
        open_folder(make(tmp_path, files))
    assert message in str(caught.value)


def test_a_cell_that_is_too_long_is_told_by_its_length(tmp_path: Path) -> None:
    (table,) = open_folder(make(tmp_path, {"nodes/A.csv": f"id,text\n1,a\n2,{'x' * 200_000}\n"}))
    (block,) = read_blocks(table)
    assert len(block.rows) == 1
    (problem,) = block.problems
    assert (problem.line, problem.text.partition(",")[0]) == (3, "a cell has more than 131")
    assert "131,072 characters, or a quote is not closed; reading ended here" in problem.text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    name = "UTF-32" if encoding == "utf-32" else "UTF-16"
    with pytest.raises(DataError, match=rf"nodes/Movie.csv is {name} text; expected UTF-8. Save it as UTF-8"):
        open_folder(make(tmp_path, {"nodes/Movie.csv": MOVIES.encode(encoding)}))


@pytest.mark.parametrize(("separator", "option"), [(";", "';'"), ("\t", "'tab'"), ("|", "'|'")])
@pytest.mark.parametrize("header", ["id:int,title,year:int", 'id:int,"title, and more",year:int', "id, title"])
def test_another_separator_is_named_and_can_be_given(tmp_path: Path, header: str, separator: str, option: str) -> None:
    names = next(csv.reader([header]))
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows([names, ["1", f"a{separator}b, c", "2"][: len(names)]])
    folder = make(tmp_path, {"nodes/Movie.csv": text.getvalue()})
    with pytest.raises(DataError, match=f"the columns are separated by .* Import with --separator {re.escape(option)}"):
        open_folder(folder)
    (table,) = open_folder(folder, separator=option.strip("'"))
    assert [column.name for column in table.columns] == [name.split(":")[0].strip() for name in names]
    assert next(block.rows for block in read_blocks(table))[0][1] == f"a{separator}b, c"
    with pytest.raises(DataError, match="Import with --separator ','"):
        open_folder(make(tmp_path, {"nodes/Movie.csv": header}), separator=separator)


@pytest.mark.parametrize("header", ["id", '"a;b"', "id,genres;tags", 'id,"title; original"', '"a;b","c;d;e"', "a|b,c"])
def test_a_separator_inside_a_name_is_part_of_the_name(tmp_path: Path, header: str) -> None:
    (table,) = open_folder(make(tmp_path, {"nodes/A.csv": header + "\n"}))
    assert [column.name for column in table.columns] == next(csv.reader([header]))


def test_rows_of_another_separator_than_their_header_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='expected 3 cells, found 1; its cells seem to be separated by ";"'):
        check(make(tmp_path, {"nodes/Movie.csv": "id:int,title,year:int\n1;Alien;1979\n"}))
    with pytest.raises(UsageError, match=r"is not a separator\. Valid separators:"):
        open_folder(tmp_path, separator="x")


def test_blanks_around_names_and_capitals_in_the_ending_make_no_difference(tmp_path: Path) -> None:
    text = MOVIES.replace("title", " title ").replace("year:int", "\u00a0year : int")
    table, _, _ = check(make(tmp_path, {**good(), "nodes/Movie.csv": text}))
    assert [column.name for column in table.table.columns] == ["id", "title", "year"]
    other = make(tmp_path / "other", {"nodes/Movie.CSV": text, "nodes/User.Csv": USERS})
    assert [table.labels for table in open_folder(other)] == [("Movie",), ("User",)]


VALUES = {
    "int": (["1995", "-1", "1995.0", "1995.", "9223372036854775807"], ["1e3", "1995.5", "9223372036854775808", "x",
            "9007199254740993.0", "True"]),
    "float": (["1", "-1.5", ".5", "2e-3"], ["inf", "nan", "1,5", "1e999"]),
    "boolean": (["true", "false", "True", "False", "TRUE", "1", "0", "1.0", "0.0"], ["yes", "2", "t"]),
    "date": (["2024-01-31", "0001-01-01", "9999-12-31"], ["2024-02-30", "31.01.2024", "2024-01-31 10:00", "20240131"]),
    "localdatetime": (["2024-01-31T10:00:00", "2024-01-31 10:00:00.123456789", "2024-01-31", "2024-01-31T10:00"],
                      ["2024-01-31T25:00:00", "2024-01-31T10:00:00Z", "1600000000"]),
    "datetime": (["2024-01-31T10:00:00Z", "2024-01-31 10:00:00+01:00", "2024-01-31", "2024-01-31T10:00:00.5-0330",
                  "2024-07-31T10:00:00+02:00[Europe/Berlin]", "2024-07-31T10:00[Europe/Berlin]"],
                 ["2024-01-31T10:00:00+19:00", "2024-01-31T10:00:00+01:99", "2024-07-31T10:00:00+01:00[Europe/Berlin]",
                  "2024-07-31T10:00[Europe/Atlantis]", "2024-02-30T10:00Z", "now"]),
    "point": (["{latitude: 52.5, longitude: 13.4}", "{x:1,y:-2}", "{x: 1, y: 2, z: 3}", "POINT(13.4 52.5)",
               '{"latitude": 52.5, "longitude": 13.4, "height": 3}', "point({srid:7203, x:1.0, y:2.0})",
               "{x: 1, y: 2, crs: 'WGS-84'}"],
              ["{latitude: 91, longitude: 0}", "{x: 1}", "{x: 1, y: 2, crs: 'moon'}", "1 2", "{latitude: 1, y: 2}",
               "{x: 1, y: 2, z: 3, srid: 4326}", "{x: a, y: 2}", "{x: 1, x: 2, y: 1}x"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", VALUES)
def test_typed_cells_are_accepted_as_pandas_and_neo4j_write_them(tmp_path: Path, kind: str) -> None:
    valid, invalid = VALUES[kind]
    text = io.StringIO()
    csv.writer(text).writerows([["id:int", f"value:{kind}"], *enumerate([*valid, ""])])
    check(make(tmp_path, {"nodes/A.csv": text.getvalue()}))
    for cell in invalid:
        csv.writer(text).writerow([len(text.getvalue()), cell])
    with pytest.raises(DataError, match=rf"\({len(invalid)} bad rows in this file"):
        check(make(tmp_path, {"nodes/A.csv": text.getvalue()}))


def test_a_whole_number_key_that_pandas_wrote_as_a_float_is_that_key(tmp_path: Path) -> None:
    changes: dict[str, str | bytes] = {"rated": "user,movie:int,rating:float\nann,1.0,4.5\nbob,2.0,3\n"}
    check(make(tmp_path, good(**changes)))
    with pytest.raises(DataError, match=r"the key '1\.0' was already on line 2"):
        check(make(tmp_path, good(movies=MOVIES + "1.0,Cube,1997\n")))


@pytest.mark.parametrize("address", ["http://169.254.169.254/", "file:///etc/passwd", "https:/x", "s3://bucket/a"])
def test_an_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="is an address"):
        open_folder(address)
    with pytest.raises(UsageError, match="is an address"):
        open_folder(Path(address))


def test_a_folder_without_node_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to import"):
        open_folder(tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        open_folder(tmp_path / "absent")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=3, max_size=3))
def test_any_label_survives_its_file_name(names: list[str]) -> None:
    from urllib.parse import unquote

    file = file_name(*names)
    assert "/" not in file
    assert [unquote(word) for word in file.removesuffix(".csv").split("-")] == names


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    row = "ann,1,4.5," + "x" * 200 + "\n"
    tables = open_folder(make(tmp_path, good(rated="user,movie:int,rating:float,text\n" + row * 10_000)))
    tracemalloc.start()
    try:
        check_tables(tables, on_rows=lambda n: None, block_rows=500)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1.5e6  # all rows at once take 5 MB
