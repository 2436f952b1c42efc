from benchmarks.gateway import GROUP, task_ids


def test_ids_are_distinct_and_name_their_group() -> None:
    ids = task_ids(3 * GROUP)
    assert len(set(ids)) == 3 * GROUP
    assert {task_id.partition("-")[0] for task_id in ids[GROUP : 2 * GROUP]} == {"g0001"}
