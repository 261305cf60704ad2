"""The protocols by which services are spoken to, as bytes in and bytes out."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from urllib.parse import urlencode

import orjson
import pytest

from gameday.emulator.wire import Json, Query, Refused

QUERY = Query(version="v", namespace="http://example.org/")
JSON = Json(target="T", version="1.1", namespace="com.example")


def read(**fields: str) -> object:
    return QUERY.read(urlencode({name.replace("_", "."): value for name, value in fields.items()}).encode())


def test_a_form_unfolds_into_structures_lists_and_maps() -> None:
    assert read(Name="é&", L_member_2="b", L_member_10="c", L_member_1="a", E="") == {
        "Name": "é&",
        "L": ["a", "b", "c"],
        "E": "",
    }
    assert read(A_entry_1_key="k", A_entry_1_value="v", S_T="t") == {"A": {"k": "v"}, "S": {"T": "t"}}
    assert read(
        A_entry_1_Name="n", A_entry_1_Value_DataType="String", L_member_1_Id="1", L_member_1_B_member_1="x"
    ) == {"A": {"n": {"DataType": "String"}}, "L": [{"Id": "1", "B": ["x"]}]}


@pytest.mark.parametrize(
    "fields", [{"A": "x", "A_member_1": "y"}, {"A_member": "x"}, {"A_member_x": "y"}, {"A_entry_x_key": "y"}]
)
def test_a_form_that_makes_no_sense_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(Refused, match="MalformedInput"):
        read(**fields)


def test_answers_and_errors_in_xml() -> None:
    answer = {"Attributes": {"k": "<&>"}, "Failed": [], "Ok": [{"Id": "1", "SenderFault": True}]}
    root = ElementTree.fromstring(QUERY.write("Do", answer, request_id=7).body)
    inside = "".join(ElementTree.tostring(each, "unicode") for each in root).replace("ns0:", "")
    assert root.tag == "{http://example.org/}DoResponse"
    for part in (
        "<key>k</key><value>&lt;&amp;&gt;</value>",
        "<Failed />",
        "<member><Id>1</Id><SenderFault>true</SenderFault></member>",
        "<RequestId>00000007</RequestId>",
    ):
        assert part in inside
    error = ElementTree.fromstring(QUERY.refuse(Refused("Code", "a < b"), request_id=7).body)
    assert [each.text for each in error.iter() if each.tag.endswith(("Code", "Message"))] == ["Code", "a < b"]


def test_answers_and_errors_in_json() -> None:
    written = JSON.write("Do", {"a": 1}, request_id=7)
    assert (written.content_type, written.body) == (b"application/x-amz-json-1.1", b'{"a":1}')
    refused = JSON.refuse(Refused("Code", "what", more={"Reasons": [1]}), request_id=7)
    assert orjson.loads(refused.body) == {"__type": "com.example#Code", "message": "what", "Reasons": [1]}
    assert refused.headers == b""


@pytest.mark.parametrize("body", [b"{", b"[]", b"1"])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refused, match="SerializationException"):
        JSON.read(body)
