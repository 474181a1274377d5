"""Connections and stores are made and changed in a real browser. Needs no broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.integration.browser.conftest import Stage
from tests.support.browser import Window
from tests.support.guarded_service import GuardedService
from tests.support.ports import HOST

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
NOWHERE = f"{HOST}:1"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with GuardedService(tmp_path_factory.mktemp("settings"), NOWHERE, http=True) as service:
        yield Stage(service)


def _value(page: Page, setting: str) -> str:
    """Of a setting in the table of a thing's own page."""
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=setting, exact=True))
    return row.get_by_role("cell").nth(1).inner_text()


def test_making_and_changing_a_connection(opened: Window) -> None:
    page = opened.open("/connections")
    page.get_by_role("link", name="New connection").click()
    expect(page.get_by_role("checkbox", name="Mine its topics")).to_be_checked()
    expect(page.get_by_label("Authorities")).to_be_hidden()
    page.get_by_label("Name required", exact=True).fill("far away")
    page.get_by_label("Bootstrap servers").fill(f"{NOWHERE}\nnowhere")
    page.get_by_label("Speak TLS").check()
    page.get_by_label("Authorities").fill("/etc/ca.pem")
    opened.check_all("connection-new")
    opened.press("Make the connection")
    expect(page.get_by_role("alert")).to_contain_text("Nothing was saved")
    name = page.get_by_label("Name required", exact=True)
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(name).to_have_value("far away")
    expect(page.locator("p.wrong")).to_contain_text("a name of 1 to 64")
    opened.expect_refused()
    opened.check_all("connection-wrong")
    page.get_by_role("alert").get_by_role("link", name="Name").click()
    expect(name).to_be_focused()
    name.fill("far")
    opened.press("Make the connection")
    expect(page.locator("p.wrong")).to_contain_text("HOST:PORT")
    opened.expect_refused()
    page.get_by_label("Bootstrap servers").fill(NOWHERE)
    page.get_by_label("Speak TLS").uncheck()
    opened.press("Make the connection")
    opened.is_told("Connection far is made.")
    expect(page.get_by_role("heading", name="far")).to_be_visible()
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Bootstrap servers")).to_have_value(NOWHERE)
    page.get_by_label("A record that is not a JSON object").select_option("stop")
    page.get_by_label("Sign in with a user name").check()
    page.get_by_label("User name required").fill("cache")
    page.get_by_label("Variable with the password").fill("FAR_PASSWORD")
    opened.check_all("connection-edit")
    opened.press("Save")
    expect(page.get_by_role("alert")).to_contain_text("Variable with the password")
    opened.expect_refused()  # where access control is on, secrets lie where the operator allows
    page.get_by_label("Sign in with a user name").uncheck()
    opened.press("Save")
    opened.is_told("Connection far is changed.")
    assert _value(page, "non_json_policy") == "STOP"
    opened.check()


def test_trying_a_connection_before_it_is_saved(opened: Window) -> None:
    page = opened.open("/new-connection")
    page.get_by_label("Bootstrap servers").fill(NOWHERE)
    with page.context.expect_page() as shown:
        opened.press("Test in a new tab")
    expect(shown.value.locator("ol.lines li.failed").first).to_be_visible()
    expect(shown.value.get_by_role("heading")).to_have_text(
        "Test of connection new, before it is saved"
    )
    expect(page.get_by_label("Bootstrap servers")).to_have_value(NOWHERE)
    opened.check()


def test_two_who_change_the_same(stage: Stage, opened: Window) -> None:
    page = opened.open("/new-connection")
    page.get_by_label("Name required", exact=True).fill("shared")
    page.get_by_label("Bootstrap servers").fill(NOWHERE)
    opened.press("Make the connection")
    page.get_by_role("link", name="Edit").click()
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_label("Topics", exact=True).fill("orders")
    other.get_by_role("button", name="Save").click()
    expect(other.get_by_role("status")).to_contain_text("is changed")
    page.get_by_label("Topics", exact=True).fill("payments")
    opened.press("Save")
    expect(page.get_by_role("alert")).to_contain_text("somebody has changed it meanwhile")
    opened.expect_refused()
    expect(page.get_by_label("Topics", exact=True)).to_have_value("payments")


def test_what_is_in_the_file_is_not_changed_here(opened: Window) -> None:
    page = opened.open("/connections/default")
    expect(page.get_by_role("link", name="Edit")).to_have_count(0)
    opened.open("/connections/default/edit")
    expect(page.get_by_text("where alone it can be changed")).to_be_visible()
    opened.check()


def test_making_and_changing_a_store(opened: Window, tmp_path: Path) -> None:
    page = opened.open("/stores")
    page.get_by_role("link", name="New store").click()
    page.get_by_label("Name required", exact=True).fill("cold")
    expect(page.get_by_label("Bucket")).to_be_hidden()
    page.get_by_label("Kind").select_option("s3")
    expect(page.get_by_label("Path")).to_be_hidden()
    opened.check_all("store-new")
    opened.press("Make the store")
    expect(page.get_by_role("alert")).to_contain_text("Bucket")
    opened.expect_refused()
    page.get_by_label("Kind").select_option("directory")
    page.get_by_label("Path").fill(str(tmp_path / "cold"))
    page.get_by_label("Budget").fill("much")
    opened.press("Make the store")
    expect(page.locator("p.wrong")).to_contain_text("is no size")
    opened.expect_refused()
    page.get_by_label("Budget").fill("5 GiB")
    opened.press("Make the store")
    opened.is_told("Store cold is made.")
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Budget")).to_have_value("5 GiB")
    page.get_by_label("Budget").fill("")
    opened.check_all("store-edit")
    opened.press("Save")
    opened.is_told("Store cold is changed.")
    expect(page.get_by_text("no budget")).to_be_visible()
    opened.check()
