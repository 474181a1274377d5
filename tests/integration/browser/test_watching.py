"""The pages in a real browser, against a service that mines a real Kafka."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.faults.stage import objects
from tests.integration.browser.conftest import Stage
from tests.support.browser import NARROW, Window, violations, window
from tests.support.guarded_service import OF_FILE, GuardedService
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import OutRecord, create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
RECORDS = 3_000
ORDERS = "shop.orders"
LATER = 300
READER = {"rights": ["read"], "topics": [ORDERS]}
HOSTILE = b'{"text": "<script>alert(1)</script>", "n": [1, 2]}'
ODD = (("trace", b"00-ab"), ("nothing", None))


@pytest.fixture(scope="module")
def stage(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    create_topic(kafka.bootstrap, ORDERS, 3)
    produce(kafka.bootstrap, ORDERS, objects(0, RECORDS, 3))
    odd = [
        OutRecord(b"bad", b"[1, 2", partition=0),
        OutRecord(b"gone", None, partition=0),
        OutRecord(b"<b>k</b>", HOSTILE, ODD, partition=0),
    ]
    produce(kafka.bootstrap, ORDERS, odd)
    for number in range(3):
        create_topic(kafka.bootstrap, f"shop.many-{number}", 1)
    directory = tmp_path_factory.mktemp("browser")
    connection = {"topic_expression": r"shop\..*"}
    with GuardedService(directory, kafka.bootstrap, connection=connection, http=True) as service:

        def read(name: str, *, commit: bool = False) -> None:
            asyncio.run(full(service.address, name, ORDERS, commit=commit, token=OF_FILE))

        read("copies")
        read("billing", commit=True)
        service.run_job("seal")
        service.run_job("models")
        produce(kafka.bootstrap, ORDERS, objects(RECORDS, RECORDS + LATER, 3))
        read("late")
        yield Stage(service)


def test_overview(opened: Window) -> None:
    page = opened.open("/")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_text("9,306 records").first).to_be_visible()
    opened.check_all("overview")


def test_charts_begin_with_what_was_before(opened: Window) -> None:
    paths = ("/", f"/topics/default/{ORDERS}", "/mining/default", "/subscriptions/late", "/readers")
    for path in paths:
        deadline = time.monotonic() + 60
        while not (begun := _highest_begun(opened.open(path))) and time.monotonic() < deadline:
            time.sleep(1)
        assert begun, f"{path}: nothing was measured"
        drawn = "(id) => charts.get(document.getElementById(id)).plot.data[0].length"
        assert opened.page.evaluate(drawn, begun[0]) >= begun[1], path
    opened.check()


def _highest_begun(page: Page) -> tuple[str, int] | None:
    """A chart of a page that begins with more than zeros: its id, and with how many points."""
    for figure in page.locator("figure[data-begun]").all():
        begun = json.loads(figure.get_attribute("data-begun") or "")
        if any(value for values in begun["y"] for value in values):
            return figure.get_attribute("id") or "", len(begun["x"])
    return None


def test_topics(opened: Window) -> None:
    page = opened.open("/topics")
    rows = page.get_by_role("table", name="Topics").locator("tbody tr")
    expect(rows).to_have_count(4)
    page.get_by_label("Topics whose names contain").fill("MANY")
    page.get_by_role("button", name="Search").click()
    expect(rows).to_have_count(3)
    expect(page.get_by_text("1 to 3 of 3 topics")).to_be_visible()
    opened.check_all("topics")


def test_a_topic_over_its_offsets(opened: Window) -> None:
    page = opened.open("/topics")
    page.get_by_role("link", name=ORDERS).click()
    expect(page.get_by_role("heading", name=ORDERS)).to_be_visible()
    bars = page.get_by_role("img", name="are cached")
    expect(bars).to_have_count(3)
    for kind in ("segment", "journal"):
        expect(page.locator(f"article rect.{kind}")).to_have_count(3)
    expect(page.locator("ul.marks").get_by_text("billing")).to_have_count(3)
    opened.check_all("topic")


def test_records_of_a_topic(opened: Window) -> None:
    page = opened.open(f"/topics/default/{ORDERS}/records")
    rows = page.get_by_role("table").locator("tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_label("From").select_option("offset")
    page.get_by_label("Offset or time").fill(str(RECORDS // 3))
    page.get_by_role("button", name="Show").click()
    expect(rows.first).to_contain_text("tombstone")
    expect(rows.nth(1)).to_contain_text("<b>k</b>")
    rows.nth(1).locator("summary").click()
    expect(rows.nth(1).locator("pre")).to_contain_text('"text": "<script>alert(1)</script>"')
    expect(rows.nth(1)).to_contain_text("00-ab")
    opened.check_all("topic-records")
    page.get_by_role("link", name="Before").click()
    expect(rows.first).to_contain_text(str(RECORDS // 3 + 1 - 50))
    page.get_by_label("From").select_option("time")
    page.get_by_label("Offset or time").fill("yesterday")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("alert").filter(has_text="give a time")).to_be_visible()
    opened.check()


def test_the_model_of_a_topic(opened: Window) -> None:
    page = opened.open(f"/topics/default/{ORDERS}/model")
    fields = page.get_by_role("table", name="Fields")
    expect(fields).to_contain_text("integer")
    expect(fields).to_contain_text("[*]")
    opened.check_all("topic-model")
    opened.open("/topics/default/shop.many-0/model")
    expect(page.get_by_text("UNKNOWN_MODEL")).to_be_visible()
    opened.check()


def test_rejects_of_a_topic(opened: Window) -> None:
    page = opened.open(f"/topics/default/{ORDERS}/rejects")
    expect(page.get_by_text("MALFORMED_JSON")).to_be_visible()
    page.get_by_text("5 B").click()
    expect(page.get_by_text("[1, 2")).to_be_visible()
    opened.check_all("topic-rejects")


def test_by_keyboard_and_on_a_small_window(opened: Window) -> None:
    page = opened.open("/topics")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Topics whose names contain")).to_be_focused()
    page.keyboard.type("orders")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 to 1 of 1 topics")).to_be_visible()
    page.set_viewport_size({"width": NARROW, "height": 800})
    menu = page.get_by_role("button", name="Menu")
    expect(menu).to_have_attribute("aria-expanded", "false")
    link = page.get_by_role("link", name="Overview")
    expect(link).to_be_hidden()
    menu.press("Enter")
    expect(menu).to_have_attribute("aria-expanded", "true")
    opened.check()
    link.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_what_is_loaded_anew_leaves_its_readers_where_they_are(opened: Window) -> None:
    page = opened.open("/")
    page.set_viewport_size({"width": NARROW, "height": 800})
    table = page.get_by_role("group", name="Connections")
    table.evaluate("(table) => { table.scrollLeft = 40; table.id = 'old'; }")
    expect(page.locator("#old")).to_have_count(0)
    # Where it was is restored a moment after it was replaced.
    expect(table).to_have_js_property("scrollLeft", 40)
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="default")
    link.focus()
    # What was asked for before may come still; it is let go.
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2_500)  # for what should not come
    expect(link).to_be_focused()
    assert asked == []


def test_an_answer_on_its_way_takes_nothing_from_whoever_got_there_first(opened: Window) -> None:
    page = opened.open("/")
    held: list[Route] = []
    released: list[bool] = []

    def hold(route: Route) -> None:
        if "hx-request" in route.request.headers and not released:
            held.append(route)
        else:
            route.continue_()

    link = page.get_by_role("group", name="Connections").get_by_role("link", name="default")
    page.route("**/*", hold)
    with page.expect_request(lambda request: "hx-request" in request.headers):
        pass  # by itself, after two seconds
    page.keyboard.press("Tab")
    link.focus()
    link.evaluate("(link) => { link.id = 'old'; }")
    released.append(True)
    for route in held:
        with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
            route.continue_()
    page.wait_for_timeout(500)  # for what should not come
    expect(page.locator("#old")).to_be_focused()
    opened.check()


def test_what_is_not_there(opened: Window) -> None:
    for path in ("/topics/default/none-such", "/nothing", "/runs/x"):
        page = opened.open(path)
        expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()
        assert violations(page) == []
    assert [each for each in opened.complaints if "404" not in each] == []


def test_sql_with_a_table_and_a_chart(opened: Window) -> None:
    page = opened.open(f"/topics/default/{ORDERS}/records")
    page.get_by_role("link", name="Ask by SQL").click()
    page.get_by_role("button", name="Run").click()
    rows = page.get_by_role("table", name="Rows").locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_have_text(re.compile(r"0\s*1102\s*1102"))
    expect(page.locator(".bars dt")).to_have_text(["0", "1", "2"])
    query = page.get_by_label("One SELECT")
    lengths = """select "offset", length(value) as bytes from log('shop.orders') limit 30"""
    query.fill(lengths)
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".u-legend")).to_contain_text("bytes")
    opened.check_all("sql")
    grouped = (
        "select left(decode(key), 2) k, count(*) from log('shop.orders') group by k order by k"
    )
    query.fill(grouped)
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".bars dt").first).to_have_text("<b")
    opened.check_all("sql-bars")
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_role("heading", name="Plan")).to_be_visible()
    query.fill("select 1 from nothing")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert").filter(has_text="INVALID_SQL")).to_be_visible()
    opened.check()


def test_who_has_not_signed_in_and_who_may_not(stage: Stage, browser: Browser) -> None:
    with window(browser, stage.service.web) as found:
        page = found.open("/topics?q=many")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        found.check_all("sign-in")
        page.get_by_label("Token or JWT").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("ask for another")
        assert violations(page) == []
        page.get_by_label("Token or JWT").fill(stage.service.make_token("reader", READER))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        expect(page).to_have_url(re.compile(r"/topics\?q=many$"))
        expect(page.get_by_text("No topics with")).to_be_visible()
        found.open("/topics")
        expect(page.get_by_text("1 to 1 of 1 topics")).to_be_visible()
        found.open("/")
        expect(page.get_by_text("NOT_ALLOWED")).to_be_visible()
        found.open("/topics/default/shop.many-0")
        expect(page.get_by_text("NOT_ALLOWED")).to_be_visible()
        found.open(f"/topics/default/{ORDERS}/records")
        expect(page.get_by_role("table")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_everybody_reads_where_access_control_is_off(
    browser: Browser, kafka: KafkaBroker, tmp_path: Path
) -> None:
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, http=True) as service,
        window(browser, service.web) as found,
    ):
        page = found.open("/")
        expect(page.get_by_text("read-only")).to_be_visible()
        expect(page.get_by_text("There is no subscription yet.")).to_be_visible()
        found.check_all("read-only")
        found.open("/sql")
        page.get_by_label("One SELECT").fill("select 42 as answer")
        page.get_by_role("button", name="Run").click()
        expect(page.get_by_role("cell", name="42")).to_be_visible()
        found.check()
        found.open("/")
        service.stop()
        expect(page.locator("#offline")).to_be_visible()
        service.start()
        expect(page.locator("#offline")).to_be_hidden()
