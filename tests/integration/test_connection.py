def test_a_connection_reads_what_it_wrote(connection):
    assert connection.write("CREATE (:A {x: $x})", x=1)["nodes_created"] == 1
    assert connection.rows("MATCH (a:A) RETURN a.x AS x") == [{"x": 1}]


def test_each_test_starts_with_an_empty_database(connection):
    assert connection.rows("MATCH (n) RETURN count(n) AS n") == [{"n": 0}]
