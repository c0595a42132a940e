"""Trade and work: Northwind, a shop with three kinds of events, and jobs."""

from __future__ import annotations

import numpy as np

from kgplug.graph.bolt.connection import Connection
from tests.integration.shapes.planted import choices, create, few, group, join, unique

CATEGORIES = ("Beverages", "Condiments", "Confections", "Dairy Products")


def northwind(connection: Connection) -> None:
    """Build Northwind as Neo4j's tutorial imports it: customers, orders and products; most values are text."""
    rng = np.random.default_rng(2)
    create(
        connection,
        "Customer",
        [
            {
                "customerID": f"C{i:03}",
                "companyName": f"Company {i}",
                "contactName": f"Contact {i}",
                "country": ("Germany", "USA", "Brazil")[i % 3],
            }
            for i in range(60)
        ],
    )
    create(
        connection,
        "Product",
        [
            {
                "productID": str(i + 1),
                "productName": f"Product {i + 1}",
                "unitPrice": float(round(rng.uniform(2, 120), 2)),
                "unitsInStock": int(rng.integers(120)),
                "discontinued": bool(i % 9 == 0),
                "quantityPerUnit": f"{i % 5 + 1} boxes",
            }
            for i in range(60)
        ],
    )
    create(
        connection,
        "Category",
        [{"categoryID": str(i + 1), "categoryName": name} for i, name in enumerate(CATEGORIES)],
    )
    create(
        connection,
        "Supplier",
        [{"supplierID": str(i + 1), "companyName": f"Supplier {i + 1}", "city": f"City {i % 7}"} for i in range(16)],
    )
    join(
        connection,
        "Product.productID",
        "PART_OF",
        "Category.categoryID",
        [(str(i + 1), str(group(i) + 1)) for i in range(60)],
    )
    join(
        connection,
        "Supplier.supplierID",
        "SUPPLIES",
        "Product.productID",
        [(str(s + 1), str(i + 1)) for i, s in few(rng, 60, 16, most=1)],
    )
    bought = choices(rng, 60, 60, 9)
    order_of = {pair: n // 3 for n, pair in enumerate(bought)}
    customer_of: dict[int, int] = {}
    for (customer, product), order in list(order_of.items()):
        if customer_of.setdefault(order, customer) != customer:
            order_of[customer, product] = order + len(bought)
            customer_of[order + len(bought)] = customer
    create(
        connection,
        "Order",
        [
            {
                "orderID": str(10248 + order),
                "orderDate": f"199{rng.integers(6, 9)}-{rng.integers(1, 13):02}-{rng.integers(1, 29):02} 00:00:00.000",
                "freight": str(round(rng.uniform(1, 90), 2)),
            }
            for order in customer_of
        ],
    )
    join(
        connection,
        "Customer.customerID",
        "PURCHASED",
        "Order.orderID",
        [(f"C{c:03}", str(10248 + o)) for o, c in customer_of.items()],
    )
    lines = [(str(10248 + order), str(product + 1)) for (_, product), order in order_of.items()]
    details = [{"quantity": int(rng.integers(1, 60)), "unitPrice": "14.00", "discount": "0"} for _ in lines]
    join(connection, "Order.orderID", "ORDERS", "Product.productID", lines, details)


def three_events(connection: Connection) -> None:
    """Build a shop whose customers view products, add some of them to the cart, and buy some of these."""
    rng = np.random.default_rng(6)
    unique(connection, Customer="id", Product="sku")
    create(connection, "Customer", [{"id": i, "name": f"Customer {i}"} for i in range(80)])
    brands = ("Acme", "Bolt", "Crown", "Dale")
    create(
        connection,
        "Product",
        [
            {"sku": f"P-{i:03}", "name": f"Product {i}", "price": float(5 + i % 40), "brand": brands[group(i)]}
            for i in range(60)
        ],
    )
    create(connection, "Category", [{"name": f"Category {i}"} for i in range(8)])
    join(
        connection,
        "Product.sku",
        "IN_CATEGORY",
        "Category.name",
        [(f"P-{i:03}", f"Category {c}") for i, c in few(rng, 60, 8)],
    )
    viewed = choices(rng, 80, 60, 16, repeated=True)
    added = [pair for pair in dict.fromkeys(viewed) if rng.random() < 0.35]
    bought = [pair for pair in added if rng.random() < 0.5]
    for kind, pairs in (("VIEWED", viewed), ("ADDED", added), ("BOUGHT", bought)):
        at = [{"at": int(rng.integers(1.70e9, 1.72e9))} for _ in pairs]
        join(connection, "Customer.id", kind, "Product.sku", [(u, f"P-{i:03}") for u, i in pairs], at)


def jobs(connection: Connection) -> None:
    """Build candidates who apply to jobs; candidates have skills, and jobs require some."""
    rng = np.random.default_rng(10)
    unique(connection, Candidate="id", Job="id", Skill="name")
    create(connection, "Candidate", [{"id": f"c{i}", "name": f"Candidate {i}"} for i in range(70)])
    create(connection, "Job", [{"id": f"j{i}", "title": f"Job {i}", "level": i % 3 + 1} for i in range(50)])
    create(connection, "Skill", [{"name": f"Skill {i}"} for i in range(24)])
    create(connection, "Company", [{"name": f"Company {i}"} for i in range(12)])
    applied = choices(rng, 70, 50, 6)
    dates = [{"appliedAt": int(rng.integers(1.6e9, 1.7e9))} for _ in applied]
    join(connection, "Candidate.id", "APPLIED_TO", "Job.id", [(f"c{u}", f"j{i}") for u, i in applied], dates)
    skills = [(f"c{u}", f"Skill {s}") for u, s in few(rng, 70, 24, most=5)]
    join(connection, "Candidate.id", "HAS_SKILL", "Skill.name", skills)
    required = [(f"j{i}", f"Skill {s}") for i, s in few(rng, 50, 24, most=4)]
    join(connection, "Job.id", "REQUIRES", "Skill.name", required)
    join(connection, "Job.id", "AT", "Company.name", [(f"j{i}", f"Company {c}") for i, c in few(rng, 50, 12, most=1)])
