"""The finder of AWS calls finds what a reader finds, and does not find what is none."""

import rust_calls


def test_comments_texts_and_tests_are_no_code():
    code = rust_calls.code_only('''
        let a = 1; // .send_message()
        let text = ".put_item()";
        #[cfg(test)]
        mod tests { fn f() { client.delete_item() } }
        let b = 2;
    ''')
    assert "let a = 1;" in code and "let b = 2;" in code
    assert not any(name in code for name in ("send_message", "put_item", "delete_item"))


def test_a_lifetime_is_no_text():
    code = rust_calls.code_only("fn f<'a>(x: &'a str) -> &'a str { client.get_item() } let c = 'x';")
    assert "get_item" in code


def test_fleets_methods_are_followed_through_self():
    methods = rust_calls.fleet_methods()

    def operations(type_name, method):
        return {call.operation for call in methods[type_name, method]}

    assert operations("JobQueue", "depth") == {"GetQueueAttributes"}
    assert operations("JobQueue", "send") == {"SendMessage"}
    # By a private method that all updates share.
    assert operations("PredictionStore", "complete") == {"UpdateItem"}
    assert ("JobQueue", "name") not in methods


def test_only_what_a_service_calls_counts():
    operations = {call.operation for call in rust_calls.calls_of("metric-streamer")}
    assert operations == {"GetQueueAttributes", "DescribeAutoScalingGroups", "PutMetricData", "BatchGetItem", "SetDesiredCapacity"}


def test_a_call_says_where_it_is():
    places = {call.where for call in rust_calls.calls_of("metric-streamer") if call.operation == "PutMetricData"}
    assert len(places) == 1 and places.pop().startswith("metric-streamer/src/streamer.rs:")
