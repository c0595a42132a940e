"""The parts of `kgplug init` that need no database: paths, choices, strengths, and properties as knowledge."""

from __future__ import annotations

from typing import Any

import pytest

from kgplug.graph.guessing.feedback import Candidate
from kgplug.graph.guessing.options import list_options
from kgplug.graph.guessing.paths import Hop, Path, find_paths, plainly
from kgplug.graph.guessing.profiles import TypeProfile
from kgplug.graph.guessing.properties import propose_properties
from kgplug.graph.guessing.tables import names_of
from kgplug.graph.guessing.weights import guess_strengths

ONE, MANY = 0.0, 0.9  # share of relationships whose end has several


def profile(pattern: str, *, starts: float = MANY, ends: float = MANY, n: int = 100) -> TypeProfile:
    """Return the profile of a type, written as "Customer PURCHASED Order"."""
    head, name, tail = pattern.split()
    return TypeProfile(name, n, head, tail, [(head,)], [(tail,)], starts, ends, 100)


def patterns(*profiles: TypeProfile, labels: dict[str, int] | None = None) -> list[str]:
    return [str(path) for path in find_paths(profiles, labels or {})]


def candidate(path: Path, *, rank: int = 2, points: int = 6, rated: bool = False) -> Candidate:
    return Candidate(path, points, ("a reason",), rank, rated, ())


def direct(pattern: str, *, n: int = 100) -> Path:
    return Path((Hop(profile(pattern, n=n), True),), n)


def test_an_order_that_belongs_to_one_customer_is_between_customers_and_products() -> None:
    purchased, orders = profile("Customer PURCHASED Order", ends=ONE), profile("Order ORDERS Product", n=300)
    (path,) = find_paths([purchased, orders], {"Order": 50})
    assert str(path) == "(:Customer)-[:PURCHASED]->(:Order)-[:ORDERS]->(:Product)"
    assert path.n == 600 and path.why == ("each :Order belongs to one :Customer",)
    assert path.pattern() == "(user)-[:PURCHASED]->(:Order)-[:ORDERS]->(item)"
    assert path.pattern(["orders", "order"]) == "(user)-[:PURCHASED]->(order:Order)-[orders:ORDERS]->(item)"


def test_arrows_of_a_path_may_point_in_any_direction() -> None:
    by, of = profile("Loan BY Reader", starts=ONE), profile("Loan OF Book", starts=ONE)
    assert "(:Reader)<-[:BY]-(:Loan)-[:OF]->(:Book)" in patterns(by, of)


def test_loans_lead_through_copies_to_books() -> None:
    by, of = profile("Loan BY Reader", starts=ONE), profile("Loan OF Copy", starts=ONE)
    copy_of = profile("Copy COPY_OF Book", starts=ONE)
    assert "(:Reader)<-[:BY]-(:Loan)-[:OF]->(:Copy)-[:COPY_OF]->(:Book)" in patterns(by, of, copy_of)
    borrowed = profile("Reader BORROWED Copy")
    assert "(:Reader)-[:BORROWED]->(:Copy)-[:COPY_OF]->(:Book)" in patterns(borrowed, copy_of)


def test_an_item_that_has_one_director_is_not_a_copy_of_the_director() -> None:
    found = patterns(profile("User RATED Movie"), profile("Movie DIRECTED_BY Director", starts=ONE))
    assert not [path for path in found if path.startswith("(:User)")]


def test_skills_that_candidates_and_jobs_share_are_not_between_them() -> None:
    assert patterns(profile("Candidate HAS_SKILL Skill"), profile("Job REQUIRES Skill")) == []


def test_papers_that_authors_wrote_together_lead_to_the_papers_that_they_cite() -> None:
    found = patterns(profile("Author AUTHORED Paper"), profile("Paper CITES Paper"))
    assert found == ["(:Author)-[:AUTHORED]->(:Paper)-[:CITES]->(:Paper)"]


def test_a_path_needs_items_that_several_users_reach() -> None:
    assert patterns(profile("Customer PURCHASED Order", ends=ONE), profile("Order SHIPPED_AS Parcel", ends=ONE)) == []


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        ("User HAD Session;Session SET Item", "(user)-[had:HAD]->(session:Session)-[the_set:SET]->(item)"),
        ("User MADE `x;`x OF Item", "(user)-[made:MADE]->(x:```x`)-[of:OF]->(item)"),
        ("User A User2;User2 A2 Item", "(user)-[a:A]->(user2:User2)-[a2:A2]->(item)"),
        ("Kunde HAT Item;Item ZU Ware", "(user)-[hat:HAT]->(the_item:Item)-[zu:ZU]->(item)"),
    ],
)
def test_variables_differ_and_are_no_words_of_cypher_that_write(pattern: str, written: str) -> None:
    first, second = pattern.split(";")
    path = Path((Hop(profile(first), True), Hop(profile(second), True)), 1)
    assert len(set(path.variables)) == 3 and path.pattern(path.variables) == written


def test_names_are_quoted_only_if_cypher_needs_it() -> None:
    assert [plainly(name) for name in ("Order", "ORDER_2", "two words", "2nd", "订单", "a`b")] == [
        "Order",
        "ORDER_2",
        "`two words`",
        "`2nd`",
        "`订单`",
        "`a``b`",
    ]


def test_a_purchase_counts_more_than_a_cart_and_a_cart_more_than_a_view() -> None:
    kinds = [direct("U VIEWED P", n=1000), direct("U ADDED P", n=300), direct("U BOUGHT P", n=90)]
    found = guess_strengths(kinds)
    assert [strength for strength, _ in found] == [1, 3, 5]
    assert found[2][1] == "BOUGHT is a strong sign, and 11 times as rare as the most frequent kind"


def test_without_words_a_very_rare_kind_is_strong_and_equal_kinds_have_strength_one() -> None:
    rare = guess_strengths([direct("U FROBBED P", n=1000), direct("U GLOMPED P", n=50)])
    assert [strength for strength, _ in rare] == [1, 2]
    equal = guess_strengths([direct("U FROBBED P", n=1000), direct("U GLOMPED P", n=900)])
    assert [strength for strength, _ in equal] == [1, 1]


def test_kinds_of_the_same_users_and_items_are_offered_together_first_and_then_alone() -> None:
    views, buys = candidate(direct("U VIEWED P", n=900)), candidate(direct("U BOUGHT P", n=90))
    other = candidate(direct("U JOINED Club"), points=9)
    found = [[str(kind.candidate.path) for kind in option.kinds] for option in list_options([other, views, buys])]
    viewed, bought = "(:U)-[:VIEWED]->(:P)", "(:U)-[:BOUGHT]->(:P)"
    assert found == [["(:U)-[:JOINED]->(:Club)"], [bought, viewed], [bought], [viewed]]


def test_ratings_are_not_mixed_with_kinds_that_have_none() -> None:
    rated, viewed = candidate(direct("U RATED P"), rated=True), candidate(direct("U VIEWED P"))
    assert [len(option.kinds) for option in list_options([rated, viewed])] == [1, 1]


def test_dislikes_are_one_of_several_kinds_but_never_alone() -> None:
    likes, dislikes = candidate(direct("U LIKED P")), candidate(direct("U DISLIKED P"))
    options = list_options([dislikes, likes])
    assert [sorted(kind.candidate.path.types[0] for kind in option.kinds) for option in options] == [
        ["DISLIKED", "LIKED"],
        ["LIKED"],
    ]


def test_kinds_have_different_names() -> None:
    first, second = profile("User WROTE Review"), profile("Review REVIEWS Shop")
    path = Path((Hop(first, True), Hop(second, True)), 1)
    (option,) = list_options([candidate(path)])
    kinds = [*option.kinds, *option.kinds, *list_options([candidate(direct("User LIKED Shop"))])[0].kinds]
    assert names_of(kinds) == ["reviews", "reviews 2", None]


def proposed(name: str, values: list[Any], *, neighbours: tuple[str, ...] = ()) -> tuple[str | None, bool] | None:
    found = propose_properties({name: values}, len(values), apart=["id", "title"], neighbours=neighbours)
    return (found[0].rule, found[0].active) if found else None


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("language", ["en", "fr"] * 30, ("values", True)),
        ("genres", [["a", "b"], ["b", "c"]] * 30, ("values", True)),
        ("language", ["en", "fr"] * 5, ("values", False)),
        ("plot", [f"plot {n}" for n in range(60)], None),
        ("country", ["one"] * 60, None),
        ("year", [1960 + n % 50 for n in range(60)], ("decades", True)),
        ("released", [1999] * 59 + [2001], ("decades", True)),
        ("runtime", [80 + n % 50 for n in range(60)], ("bands", False)),
        ("number", list(range(60)), None),
        ("embedding", [[0.5] * 384] * 60, (None, False)),
        ("position", [[1.5, 2.5]] * 60, None),
        ("id", ["a", "b"] * 30, None),
        ("active", [True, False] * 30, None),
        ("odd", [1, "a"] * 30, None),
    ],
)
def test_properties_that_many_items_share_are_knowledge(name: str, values: list[Any], expected: object) -> None:
    assert proposed(name, values) == expected


def test_a_property_that_the_graph_also_has_as_nodes_is_only_a_comment() -> None:
    assert proposed("genres", [["a"], ["b"]] * 30, neighbours=("IN_GENRE", "Genre")) == ("values", False)


def test_numbers_that_may_be_computed_from_feedback_are_said_to_reveal_it() -> None:
    (found,) = propose_properties({"avg_rating": [1.5, 3.5] * 30}, 60, apart=[], neighbours=())
    assert not found.active and found.why.endswith("would then reveal it")
