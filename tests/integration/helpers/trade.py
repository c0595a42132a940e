"""Graphs of shops: one like Neo4j's Northwind, and one with three kinds of events."""

from __future__ import annotations

import pytest

from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema, KnowledgeSchema, UserSchema

NORTHWIND = """
CREATE CONSTRAINT IF NOT EXISTS FOR (n:Customer) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT IF NOT EXISTS FOR (n:Product) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT IF NOT EXISTS FOR (n:Category) REQUIRE n.id IS UNIQUE;
UNWIND range(1, 3) AS i CREATE (:Category {id: i, name: 'Category ' + i});
UNWIND range(1, 9) AS i MATCH (c:Category {id: 1 + i % 3})
CREATE (:Product {id: i, name: 'Product ' + i})-[:PART_OF]->(c);
UNWIND range(1, 6) AS i CREATE (:Customer {id: 'c' + i, name: 'Customer ' + i, tenant: 'north'});
UNWIND range(1, 24) AS i MATCH (c:Customer {id: 'c' + (1 + i % 6)})
CREATE (c)-[:PURCHASED]->(:Order {id: i, status: CASE i % 8 WHEN 0 THEN 'cancelled' ELSE 'sent' END,
  date: date('2024-01-01') + duration({days: i})});
MATCH (o:Order), (p:Product) WHERE (o.id * 5 + p.id * p.id) % 7 < 2 OR o.id % 9 = p.id
CREATE (o)-[:ORDERS {quantity: 1 + (o.id + p.id) % 4, stars: 1 + (o.id * p.id) % 5}]->(p);
UNWIND range(1, 3) AS i CREATE (:Shipper {id: i, name: 'Shipper ' + i});
MATCH (o:Order), (s:Shipper) WHERE s.id = 1 + o.id % 3 CREATE (o)-[:SHIPPED_BY]->(s);
"""
NORTHWIND_KEYS = pytest.mark.keys("Customer", "Product", "Category")
BOUGHT = "(user)-[:PURCHASED]->(order:Order)-[line:ORDERS]->(item)"

EVENTS = """
CREATE CONSTRAINT IF NOT EXISTS FOR (n:Customer) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT IF NOT EXISTS FOR (n:Product) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT IF NOT EXISTS FOR (n:Category) REQUIRE n.id IS UNIQUE;
UNWIND range(1, 3) AS i CREATE (:Category {id: i, name: 'Category ' + i});
UNWIND range(1, 12) AS i MATCH (c:Category {id: 1 + i % 3})
CREATE (:Product {id: i, name: 'Product ' + i})-[:PART_OF]->(c);
UNWIND range(1, 8) AS i CREATE (:Customer {id: i});
MATCH (u:Customer), (p:Product) WHERE (u.id * 3 + p.id) % 4 < 2 CREATE (u)-[:VIEWED {at: 1700000000 + u.id}]->(p);
MATCH (u:Customer), (p:Product) WHERE (u.id * 3 + p.id) % 8 < 2 CREATE (u)-[:ADDED {at: 1700000100 + u.id}]->(p);
MATCH (u:Customer), (p:Product) WHERE (u.id * 5 + p.id) % 9 = 0 CREATE (u)-[:BOUGHT {at: 1700000200 + u.id}]->(p);
"""
EVENT_KINDS = (
    FeedbackSchema(type="VIEWED", strength=1),
    FeedbackSchema(type="ADDED", strength=2.5),
    FeedbackSchema(type="BOUGHT", strength=5),
)


def shop(*kinds: FeedbackSchema, **knowledge: object) -> GraphSchema:
    """Return the schema of either graph with the given kinds of feedback."""
    return GraphSchema(
        user=UserSchema(label="Customer"),
        item=ItemSchema(label="Product", title="name"),
        feedback=kinds,
        knowledge=KnowledgeSchema.model_validate({"keys": {"Category": "id"}, **knowledge}),
    )
