"""What labels may say of a database operation."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rearguard_exporter.database.operation_labels import error_type, namespace, operation_name, system_name


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("SELECT 1", "SELECT"),
        ("  \n select*from x", "SELECT"),
        ("(SELECT 1) UNION (SELECT 2)", "SELECT"),
        ("/* app:x */ -- note\n update t set a = 1", "UPDATE"),
        ("/* a * b ** c */DELETE FROM x", "DELETE"),
        ("WITH x AS (SELECT 1) INSERT INTO y SELECT * FROM x", "WITH"),
        ("insert", "INSERT"),
        ("select\n1", "SELECT"),
        ("Select 1", "SELECT"),
        ("select/**/1", "SELECT"),
        ("SELECTED 1", "_OTHER"),
        ("alice@example.com", "_OTHER"),
        ("DROPTABLE x", "_OTHER"),
        ("", "_OTHER"),
        ("/* never closed select", "_OTHER"),
        ("-- only a note", "_OTHER"),
        ("4711", "_OTHER"),
        (";; select 1", "SELECT"),
        ("\ufeffselect 1", "SELECT"),
        ("listen orders", "LISTEN"),
        ("declare x cursor for select 1", "DECLARE"),
        ("select\0", "SELECT"),
        ("\u017felect 1", "_OTHER"),  # a long s is no s of SQL
    ],
)
def test_the_first_known_word_counts(statement, word):
    assert operation_name(statement) == word


@given(st.text())
def test_no_text_of_a_statement_becomes_a_label(text):
    name = operation_name("zz" + text)
    assert name == "_OTHER"


@pytest.mark.parametrize("part", [";", "\ufeff", "x" * 20, "/*", "--\n", "(", "/**/", "*", "/* *", " "])
def test_no_statement_costs_more_than_a_moment(part):
    began = time.process_time()
    operation_name(part * 500_000)
    assert time.process_time() - began < 0.2


class DriverError(Exception):
    sqlstate = None
    pgcode = None


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"sqlstate": "23505"}, "23"),
        ({"pgcode": "57P01"}, "57"),
        ({"sqlstate": None, "pgcode": "40001"}, "40"),
        ({"sqlstate": "no code"}, "DriverError"),
        ({"sqlstate": 23505}, "DriverError"),
        ({}, "DriverError"),
    ],
)
def test_failures_go_by_class_of_sqlstate_else_by_name(attributes, expected):
    failure = DriverError()
    for name, value in attributes.items():
        setattr(failure, name, value)
    assert error_type(failure) == expected


def test_no_failure_has_no_type():
    assert error_type(None) == ""


@pytest.mark.parametrize(
    ("system", "database", "expected"),
    [
        ("postgresql", "orders", "orders"),
        ("postgresql", None, ""),
        ("sqlite", None, ":memory:"),
        ("sqlite", ":memory:", ":memory:"),
        ("sqlite", "/home/alice/secret/orders.db", "orders.db"),
        ("sqlite", "file:/home/alice/orders.db?mode=ro&uri=true", "orders.db"),
        ("sqlite", "file:x?mode=memory&cache=shared", ":memory:"),
    ],
)
def test_the_namespace_names_the_database_without_folders(system, database, expected):
    assert namespace(system, database) == expected


def test_systems_have_the_names_of_opentelemetry():
    assert [system_name(name) for name in ("postgresql", "mssql", "oracle", "sqlite")] == [
        "postgresql",
        "microsoft.sql_server",
        "oracle.db",
        "sqlite",
    ]
