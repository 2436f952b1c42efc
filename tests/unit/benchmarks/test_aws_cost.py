import json
import math
from pathlib import Path

import pytest
from benchmarks.aws_cost import (
    API_RESULTS,
    BEGIN,
    DOCUMENT,
    END,
    KEY_CHECK,
    OPERATIONS,
    PACES,
    Assumption,
    Design,
    Metrics,
    Price,
    PriceList,
    document,
    read_figures,
    read_prices,
    stock,
    traces,
    usage_of_a_dead_receiver,
    usage_of_function,
    usage_of_idle_month,
    usage_of_request,
    usage_of_tasks,
    usage_of_watching,
)

from tunehook.metrics import Observability
from webhooks.policy import MAX_JITTER, WAITS_MS

FIGURES: Metrics = {
    "wait loop: questions": 2,
    "template: secrets": 2,
    "lean: template: alarms": 3,
    "full: template: alarms": 8,
    "lean: template: dashboards": 0,
    "full: template: dashboards": 1,
    "template: queues that feed a function": 2,
    "template: of these, with a limit of concurrency": 1,
    "template: arm64": 0,
    "template: logs as JSON": 1,
    "template: intake: memory": 512,
    "template: poller: memory": 512,
    "template: fulfillment: memory": 512,
    "512 MB: time of an invocation with 1 task": 1.0,
    "512 MB: time of an invocation with 10 tasks": 2.8,
    "template: webhooks: memory": 512,
    "idle hour: read units": 30,
    "idle hour: sqs GetQueueAttributes": 240,
    "lean: idle hour: log": 30_000,
    "full: idle hour: log": 60_000,
    "lean: idle: poller: metrics": 0,
    "full: idle: poller: metrics": 2,
    "at once: questions": 10,
    "at once: units of a write while it is pending": 1,
    "at once: units of the write that ends it": 8,
    "at once: user: write units, tables": 1,
    "at once: intake: invocations": 0.01,
    "at once: intake: AWS calls": 1.02,
    "at once: intake: write units, tables": 1,
    "at once: intake: write units, indexes": 1,
    "at once: poller: invocations": 0.003,
    "at once: poller: running, s": 0.13,
    "at once: poller: write units, tables": 17,
    "at once: poller: write units, indexes": 4,
    "at once: poller: read units": 2.5,
    "at once: poller: events": 1,
    "lean: at once: poller: log": 300,
    "full: at once: poller: log": 500,
    "lean: at once: poller: metrics": 1,
    "full: at once: poller: metrics": 8,
    "at once: poller: secretsmanager GetSecretValue": 0.02,
    "full: over a day: poller: metrics": 8,
    "at once: fulfillment: invocations": 0.1,
    "at once: fulfillment: messages": 1,
    "at once: fulfillment: sqs SendMessageBatch": 1,
    "at once: fulfillment: sqs ChangeMessageVisibility": 1,
    "at once: fulfillment: s3 PutObject": 4,
    "at once: fulfillment: s3 ListObjectsV2": 1,
    "at once: fulfillment: s3 GetObject": 1,
    "at once: fulfillment: dynamodb GetItem": 1,
    "at once: webhooks: invocations": 0.2,
    "at once: webhooks: messages": 1,
    "attempt in vain: webhooks: invocations": 0.1,
    "attempt in vain: webhooks: dynamodb UpdateItem": 4,
    "attempt in vain: webhooks: write units, tables": 20,
    "hop: webhooks: invocations": 0.1,
    "hop: webhooks: messages": 1,
    "hop: webhooks: sqs SendMessageBatch": 0.1,
}


@pytest.fixture(scope="module")
def prices() -> PriceList:
    return read_prices()


def usage(
    prices: PriceList, function: str, pace: str = "at once", size: Observability = Observability.FULL
) -> dict[str, float]:
    return usage_of_function(FIGURES, prices, pace, function, size)


def test_the_document_is_what_the_results_and_the_prices_make_of_it(prices: PriceList) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    made = document(text, read_figures(), prices, read_figures(API_RESULTS))
    assert text == made, "python -m benchmarks.aws_calls --write"


def test_only_what_is_between_the_marks_is_written(prices: PriceList) -> None:
    figures, api = read_figures(), read_figures(API_RESULTS)
    text = document(f"before\n{BEGIN}\nold\n{END}\nafter\n", figures, prices, api)
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "old" not in text.split()
    assert document(text, figures, prices, api) == text


def test_a_request_costs_the_gateway_the_function_the_tables_and_the_logs(prices: PriceList) -> None:
    api = {
        "template: api: memory": 1024.0,
        "put: dynamodb PutItem": 1,
        "put: secretsmanager GetSecretValue": 2,
        "put: write units, tables": 3,
        "put: write units, indexes": 1,
        "put: read units": 0.5,
        "put: log": 400,
        f"{KEY_CHECK}: read units": 1,
    }
    used = usage_of_request(FIGURES, api, prices, "put")
    million = 1_000_000
    logged = prices.assumed("lambda_log_bytes") + prices.assumed("gateway_log_bytes") + 400
    assert used == {
        "http_api_requests": million,
        "lambda_requests": million,
        "lambda_gb_s": million * prices.assumed("api_s"),
        "dynamodb_write_units": 4 * million,
        "dynamodb_read_units": million / 2,
        "secret_calls": 2 * million,
        "log_gb": million * logged / 1e9,
    }
    assert prices.cost(used) > prices.cost(usage_of_request(FIGURES, api, prices, KEY_CHECK))
    assert not usage_of_request(FIGURES, api, prices, KEY_CHECK)["http_api_requests"]


def test_every_price_names_its_page_and_the_list_its_date_and_region(prices: PriceList) -> None:
    assert prices.region == "us-east-1"
    assert prices.as_of.startswith("20")
    assert all(price.page.startswith("https://aws.amazon.com/") for price in prices.prices.values())


def test_a_usage_costs_the_sum_of_its_parts() -> None:
    listed = price_list(a=Price("a", "", 0.5, 1_000, 0, ""), b=Price("b", "", 2, 1, 0, ""))
    assert listed.cost({"a": 3_000, "b": 4}) == 1.5 + 8


def test_what_is_free_is_taken_off_a_month_and_never_more_than_was_used() -> None:
    listed = price_list(a=Price("a", "", 0.5, 1, 10, ""), b=Price("b", "", 2, 1, 10, ""))
    assert listed.cost_of_month({"a": 12, "b": 4}) == 1


def test_much_is_cheaper_beyond_the_steps_of_a_price() -> None:
    price = Price("a", "", 0.5, 1, 0, "", [(10, 0.2), (30, 0.1)])
    assert price.cost(0) == 0
    assert price.cost(10) == pytest.approx(5)
    assert price.cost(25) == pytest.approx(5 + 15 * 0.2)
    assert price.cost(50) == pytest.approx(5 + 20 * 0.2 + 20 * 0.1)


def price_list(**prices: Price) -> PriceList:
    return PriceList("2026-01", "us-east-1", prices, {"x": Assumption("x", 1, "s", "")})


class TestFunctions:
    def test_the_poller_is_billed_for_the_time_it_runs(self, prices: PriceList) -> None:
        used = usage(prices, "poller")
        assert used["lambda_requests"] == 3
        assert used["lambda_gb_s"] == pytest.approx(0.5 * (130 + 3 * prices.assumed("pass_s")))

    def test_intake_is_billed_by_its_calls(self, prices: PriceList) -> None:
        seconds = 10 * prices.assumed("intake_s") + 1_020 * prices.assumed("intake_call_s")
        assert usage(prices, "intake")["lambda_gb_s"] == pytest.approx(0.5 * seconds)

    def test_fulfillment_is_billed_by_batches_as_long_as_such_were_seen_to_take(
        self, prices: PriceList
    ) -> None:
        assert usage(prices, "fulfillment")["lambda_gb_s"] == pytest.approx(0.5 * 100 * 2.8)
        alone = FIGURES | {"at once: fulfillment: invocations": 1}
        used = usage_of_function(alone, prices, "at once", "fulfillment")
        assert used["lambda_gb_s"] == pytest.approx(0.5 * 1_000 * 1.0)
        twos = FIGURES | {"at once: fulfillment: invocations": 0.5}
        used = usage_of_function(twos, prices, "at once", "fulfillment")
        assert used["lambda_gb_s"] == pytest.approx(0.5 * 500 * 1.2)

    def test_units_of_tables_and_indexes_are_both_billed(self, prices: PriceList) -> None:
        assert usage(prices, "poller")["dynamodb_write_units"] == 21_000
        assert usage(prices, "poller")["dynamodb_read_units"] == 2_500

    def test_a_queue_is_billed_for_what_is_put_taken_and_deleted(self, prices: PriceList) -> None:
        # 1,000 from the bus, 1,000 kept hidden, 1,000 deliveries, and two requests for each of 100 batches.
        assert usage(prices, "fulfillment")["sqs_requests"] == 3_200
        assert usage(prices, "webhooks")["sqs_requests"] == 400
        assert usage(prices, "poller")["sqs_requests"] == 0

    def test_the_deliveries_queue_is_a_fair_one(self, prices: PriceList) -> None:
        assert usage(prices, "fulfillment")["sqs_fair_requests"] == 1_000
        assert usage(prices, "webhooks")["sqs_fair_requests"] == 400

    def test_puts_events_and_secrets_are_billed(self, prices: PriceList) -> None:
        assert usage(prices, "fulfillment")["s3_puts"] == 5_000
        assert usage(prices, "fulfillment")["s3_gets"] == 1_000
        assert usage(prices, "poller")["events"] == 1_000
        assert usage(prices, "poller")["secret_calls"] == pytest.approx(20)

    def test_logs_are_the_functions_own_and_lambdas(self, prices: PriceList) -> None:
        logged = 500_000 + 3 * prices.assumed("lambda_log_bytes")
        assert usage(prices, "poller")["log_gb"] == pytest.approx(logged / 1e9)
        assert usage(prices, "poller", size=Observability.LEAN)["log_gb"] < logged / 1e9

    def test_metrics_beyond_those_of_an_idle_poller_are_billed_by_the_hours_they_come_in(
        self, prices: PriceList
    ) -> None:
        assert usage(prices, "poller")["metrics"] == pytest.approx(6 / 720)
        assert usage(prices, "poller", "over a day")["metrics"] == pytest.approx(6 * 24 / 720)
        assert usage(prices, "poller", size=Observability.LEAN)["metrics"] == pytest.approx(1 / 720)

    def test_the_processor_of_the_template_decides_what_a_second_costs(self, prices: PriceList) -> None:
        used = usage_of_function(FIGURES | {"template: arm64": 1}, prices, "at once", "poller")
        assert used["lambda_gb_s_arm"] == usage(prices, "poller")["lambda_gb_s"]
        assert "lambda_gb_s" not in used

    def test_the_users_put_is_a_write_and_nothing_else(self, prices: PriceList) -> None:
        assert {name: used for name, used in usage(prices, "user").items() if used} == {
            "dynamodb_write_units": 1_000
        }


class TestDesigns:
    def watching(self, prices: PriceList, design: Design) -> dict[str, float]:
        return usage_of_watching(FIGURES, prices, "at once", design)

    def test_tunehooks_watching_is_intake_and_poller_and_the_users_put(self, prices: PriceList) -> None:
        assert self.watching(prices, Design.TUNEHOOK)["dynamodb_write_units"] == 1_000 + 2_000 + 21_000

    def test_an_update_a_poll_costs_a_write_more_a_question(self, prices: PriceList) -> None:
        ours, theirs = (self.watching(prices, design) for design in (Design.TUNEHOOK, Design.UPDATE_A_POLL))
        assert theirs["dynamodb_write_units"] - ours["dynamodb_write_units"] == 10_000
        assert {name: used for name, used in theirs.items() if name != "dynamodb_write_units"} == {
            name: used for name, used in ours.items() if name != "dynamodb_write_units"
        }

    def test_a_wait_loop_has_three_transitions_a_question_and_two_to_end(self, prices: PriceList) -> None:
        assert self.watching(prices, Design.WAIT_LOOP)["state_transitions"] == 32_000

    def test_a_slow_wait_loop_asks_less(self, prices: PriceList) -> None:
        used = self.watching(prices, Design.SLOW_WAIT_LOOP)
        assert used["state_transitions"] == 8_000
        assert used["lambda_requests"] == 10 + 2_000

    def test_a_wait_loop_writes_when_a_task_is_put_accepted_and_ended(self, prices: PriceList) -> None:
        assert self.watching(prices, Design.WAIT_LOOP)["dynamodb_write_units"] == 1_000 + 1_000 + 8_000

    def test_a_wait_loop_emits_as_many_events(self, prices: PriceList) -> None:
        assert self.watching(prices, Design.WAIT_LOOP)["events"] == 1_000


class TestIdleMonth:
    def test_the_schedule_comes_by_every_minute(self, prices: PriceList) -> None:
        used = usage_of_idle_month(FIGURES, prices, Design.TUNEHOOK)
        assert used["schedules"] == used["lambda_requests"] == 43_200
        assert used["lambda_gb_s"] == pytest.approx(0.5 * 43_200 * prices.assumed("pass_s"))
        assert used["dynamodb_read_units"] == 21_600

    def test_alarms_dashboard_metrics_and_log_are_those_of_the_size(self, prices: PriceList) -> None:
        lean, full = (
            usage_of_idle_month(FIGURES, prices, Design.TUNEHOOK, size)
            for size in (Observability.LEAN, Observability.FULL)
        )
        assert (lean["alarms"], lean["dashboards"], lean["metrics"]) == (3, 0, 0)
        assert (full["alarms"], full["dashboards"], full["metrics"]) == (8, 1, 2)
        assert full["log_gb"] - lean["log_gb"] == pytest.approx(30_000 * 720 / 1e9)

    def test_secrets_alarms_and_the_asking_of_empty_queues_are_in_every_design(
        self, prices: PriceList
    ) -> None:
        asked = prices.assumed("empty_receives_a_minute") + prices.assumed("empty_receives_a_minute_limited")
        for design in Design:
            used = usage_of_idle_month(FIGURES, prices, design)
            assert (used["secrets"], used["alarms"]) == (2, 3)
            looks = 0 if design in (Design.WAIT_LOOP, Design.SLOW_WAIT_LOOP) else 4
            assert used["sqs_requests"] == (asked + looks) * 43_200

    def test_a_wait_loop_needs_no_schedule(self, prices: PriceList) -> None:
        assert "schedules" not in usage_of_idle_month(FIGURES, prices, Design.WAIT_LOOP)


class TestStock:
    def test_what_is_kept_for_ever_grows(self) -> None:
        assert stock(2, 1, math.inf) == pytest.approx(2 * 15)
        assert stock(2, 12, math.inf) == pytest.approx(2 * 345)

    def test_what_is_deleted_stays_as_it_is_from_then_on(self) -> None:
        assert stock(1, 1, 10) == pytest.approx((10 * 5 + 20 * 10) / 30)
        assert stock(1, 2, 45) == pytest.approx((15 * 37.5 + 15 * 45) / 30)
        assert stock(1, 3, 45) == stock(1, 12, 45) == 45

    def test_of_one_age_is_what_is_younger_less_what_is_younger_still(self) -> None:
        assert stock(1, 12, 90, 30) == 60
        assert stock(1, 1, math.inf, 30) == 0


def test_few_invocations_are_all_traced_and_many_mostly_not() -> None:
    assert traces([43_200])["traces"] == pytest.approx(43_200)
    a_second = 30 * 86_400
    assert traces([3 * a_second])["traces"] == pytest.approx(a_second * (1 + 0.1))


def test_a_dead_receiver_is_attempted_and_waited_for_until_it_is_disabled(prices: PriceList) -> None:
    used = usage_of_a_dead_receiver(FIGURES, prices, 100)
    # 500 deliveries are made meanwhile; the last ones have only begun.
    attempts = used["dynamodb_write_units"] / 20
    assert 0.5 * 500 * 10 < attempts < 500 * 10
    hops = (used["lambda_requests"] - attempts * 0.1) / 0.1
    wait_s = sum(WAITS_MS) / 1000 * (1 + MAX_JITTER / 2)
    assert 0.5 * 500 * wait_s / 900 < hops < 500 * wait_s / 900


def test_the_committed_results_keep_what_was_promised() -> None:
    figures = read_figures()
    assert (figures["idle minute: dynamodb Query"], figures["idle minute: AWS calls"]) == (2, 2 + 4 + 1)
    assert figures["lean: idle: poller: metrics"] == 0
    assert figures["lean: template: alarms"] <= 7
    assert figures["uneventful question: AWS calls"] == 0
    assert all(figures[f"{pace}: writes to its item, intake to emitted event"] <= 4 for pace in PACES)


def test_a_lean_month_costs_what_was_promised(prices: PriceList) -> None:
    figures = read_figures()
    idle = prices.cost(usage_of_idle_month(figures, prices, Design.TUNEHOOK))
    trickle = prices.cost(usage_of_tasks(figures, prices, "over a month", Design.TUNEHOOK))
    assert idle == pytest.approx(figures["lean: an idle month"])
    assert idle < 2.2
    assert trickle < 2


def test_the_paces_that_are_billed_are_those_that_are_counted() -> None:
    figures = read_figures()
    assert {name.partition(":")[0] for name in figures if name.endswith(": questions")} == {
        *PACES,
        "wait loop",
        "hanging task",
    }


def test_a_request_whose_price_is_not_known_is_not_left_out(prices: PriceList) -> None:
    with pytest.raises(ValueError, match="s3 RestoreObject"):
        usage_of_function(FIGURES | {"at once: poller: s3 RestoreObject": 1}, prices, "at once", "poller")


def test_every_price_of_a_request_is_in_the_list(prices: PriceList) -> None:
    assert {price for price in OPERATIONS.values() if price} <= set(prices.prices)


def test_figures_are_read_by_their_rows_names(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{"name": "a: b", "value": 2.5, "unit": "calls/task"}]))
    assert read_figures(path) == {"a: b": 2.5}
