"""Whether certificates match TLSA records: every usage, selector and matching type, and every way
in which an authority does not vouch for a host."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tls.dane_world import DAY, NOW, Certificate

from penstock.relay.dane_match import mismatch
from penstock.relay.der import subject_public_key_info
from penstock.relay.tls_demand import Tlsa, TlsaSet
from penstock.relay.tlsa import usable, usable_of

MX = ("mx.example.net",)
ROOT = Certificate("Root", authority=True)
MIDDLE = Certificate("Middle", by=ROOT, authority=True, depth=0)
HOST = Certificate("mx", by=MIDDLE, names=MX)
OLD = Certificate("mx", names=("elsewhere.example",), ends=NOW - DAY, begins=NOW - 9 * DAY)
STRANGER = Certificate("Stranger", authority=True)


def verdict(records, *chain, names=MX, now=NOW):
    found = TlsaSet(MX[0], f"_25._tcp.{MX[0]}", tuple(records), names=names)
    return mismatch(found, [one.der for one in chain], now.timestamp())


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_the_hosts_own_certificate_needs_no_name_and_no_date(selector, matching):
    assert verdict([OLD.tlsa(3, selector, matching)], OLD) is None


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("authority", [ROOT, MIDDLE])
def test_an_authority_vouches_for_the_host(selector, matching, authority):
    assert verdict([authority.tlsa(2, selector, matching)], HOST, MIDDLE, ROOT) is None


def test_another_certificate_matches_nothing():
    found = verdict([HOST.tlsa(3)], OLD)
    assert found.result_type == "tlsa-invalid"
    assert "matches no record at _25._tcp.mx.example.net" in found.text


def test_one_record_of_several_is_enough():
    assert verdict([STRANGER.tlsa(2), OLD.tlsa(3), HOST.tlsa(3)], HOST) is None


def test_a_record_for_the_host_does_not_make_it_an_authority():
    assert verdict([HOST.tlsa(2)], HOST, MIDDLE).result_type == "tlsa-invalid"


def test_an_authority_that_is_published_whole_need_not_be_shown():
    assert verdict([ROOT.tlsa(2, 0, 0)], HOST, MIDDLE) is None
    assert verdict([ROOT.tlsa(2, 0, 1)], HOST, MIDDLE).result_type == "tlsa-invalid"


def test_the_order_of_what_is_shown_above_the_host_does_not_matter():
    assert verdict([ROOT.tlsa(2)], HOST, ROOT, MIDDLE) is None


def test_an_authority_that_is_shown_but_did_not_issue_it():
    found = verdict([STRANGER.tlsa(2)], HOST, MIDDLE, STRANGER)
    assert found.result_type == "tlsa-invalid"
    assert "leads to no authority" in found.text


def test_an_authority_vouches_for_names():
    found = verdict([ROOT.tlsa(2)], HOST, MIDDLE, ROOT, names=("other.example",))
    assert found == (
        "certificate-host-mismatch",
        "the certificate is for mx.example.net, not other.example",
    )


@pytest.mark.parametrize(
    ("certified", "name", "good"),
    [
        ("*.example.net", "mx.example.net", True),
        ("*.example.net", "a.mx.example.net", False),
        ("*.example.net", "example.net", False),
        ("*.net", "example.net", False),
        ("MX.Example.Net", "mx.example.net", True),
        ("m*.example.net", "mx.example.net", False),
    ],
)
def test_names(certified, name, good):
    host = Certificate("ignored", by=ROOT, names=(certified,))
    assert (verdict([ROOT.tlsa(2)], host, ROOT, names=(name,)) is None) is good


def test_the_common_name_counts_where_there_are_no_others():
    assert verdict([ROOT.tlsa(2)], Certificate(MX[0], by=ROOT), ROOT) is None


def test_an_expired_certificate_of_an_authority_or_a_host():
    late = NOW + 60 * DAY
    assert (
        verdict([ROOT.tlsa(2)], HOST, MIDDLE, ROOT, now=late).result_type == "certificate-expired"
    )
    early = verdict([ROOT.tlsa(2)], HOST, MIDDLE, ROOT, now=NOW - 60 * DAY)
    assert early.result_type == "certificate-expired"
    assert "is good from 2026-05-31 only" in early.text


def test_who_may_issue():
    nobody = Certificate("Nobody", by=ROOT)  # no mark of an authority
    host = Certificate("mx", by=nobody, names=MX)
    assert verdict([ROOT.tlsa(2)], host, nobody, ROOT).result_type == "tlsa-invalid"
    below = Certificate("Below", by=MIDDLE, authority=True)  # MIDDLE may issue for hosts only
    host = Certificate("mx", by=below, names=MX)
    assert verdict([ROOT.tlsa(2)], host, below, MIDDLE, ROOT).result_type == "tlsa-invalid"
    signs_lists_only = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    lists = Certificate("Lists", by=ROOT, authority=True, key_usage=signs_lists_only)
    host = Certificate("mx", by=lists, names=MX)
    assert verdict([ROOT.tlsa(2)], host, lists, ROOT).result_type == "tlsa-invalid"


def test_a_constraint_that_is_not_understood_is_not_ignored():
    within = x509.NameConstraints([x509.DNSName("inside.example")], None)
    limited = Certificate("Limited", by=ROOT, authority=True, extensions=[within])
    host = Certificate("mx", by=limited, names=MX)
    assert verdict([ROOT.tlsa(2)], host, limited, ROOT).result_type == "tlsa-invalid"


def test_a_certificate_for_something_else_than_a_server():
    mail_only = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
    host = Certificate("mx", by=ROOT, names=MX, extensions=[mail_only])
    assert verdict([ROOT.tlsa(2)], host, ROOT).text == "the certificate is not for a server"


def test_nothing_shown_and_too_much_shown():
    assert verdict([HOST.tlsa(3)]).text.startswith("the host showed no certificate")
    assert verdict([ROOT.tlsa(2)], *[HOST] * 11).result_type == "validation-failure"


def test_many_of_one_name_cost_a_bounded_time():
    twins = [Certificate("Middle", by=ROOT, authority=True) for _ in range(9)]
    found = verdict([STRANGER.tlsa(2)], Certificate("mx", by=twins[-1], names=MX), *twins)
    assert found.result_type == "tlsa-invalid"


@pytest.mark.parametrize(
    "record",
    [
        Tlsa(0, 1, 1, bytes(32)),
        Tlsa(1, 1, 1, bytes(32)),
        Tlsa(255, 1, 1, bytes(32)),
        Tlsa(3, 2, 1, bytes(32)),
        Tlsa(3, 1, 3, bytes(32)),
        Tlsa(3, 1, 1, bytes(31)),
        Tlsa(3, 1, 2, bytes(32)),
        Tlsa(2, 0, 0, b"no certificate"),
        Tlsa(2, 1, 0, b""),
    ],
)
def test_unusable(record):
    assert not usable(record)
    assert usable_of([record]) == ()


def test_a_stronger_digest_displaces_a_weaker_one_of_the_same_kind():
    good, bad = HOST.tlsa(3, 1, 1), OLD.tlsa(3, 1, 2)
    assert usable_of([good, bad, good]) == (bad,)
    assert usable_of([HOST.tlsa(3, 0, 1), bad]) == (HOST.tlsa(3, 0, 1), bad)


records = st.builds(
    Tlsa, st.integers(0, 4), st.integers(0, 3), st.integers(0, 3), st.binary(max_size=70)
)


@settings(deadline=None)
@given(st.lists(records, max_size=6), st.lists(st.binary(max_size=60), max_size=4))
def test_nonsense_never_matches_and_never_raises(asked, shown):
    found = TlsaSet(MX[0], "name", usable_of(asked), names=MX)
    fault = mismatch(found, shown, NOW.timestamp())
    assert fault or not found.records or any(one.matching == 0 for one in found.records)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@settings(deadline=None)
@given(st.sampled_from([HOST, ROOT, OLD]), st.data())
def test_a_damaged_certificate_raises_nothing_but_a_value_error(certificate, data):
    damaged = bytearray(certificate.der)
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    for der in (bytes(damaged), cut):
        try:
            subject_public_key_info(der)
        except ValueError:
            continue
    found = TlsaSet(MX[0], "name", (ROOT.tlsa(2), HOST.tlsa(3)), names=MX)
    fault = mismatch(found, [bytes(damaged), cut, MIDDLE.der], NOW.timestamp())
    assert fault is None or fault.text


def test_the_public_key_is_taken_as_it_stands():
    for one in (HOST, ROOT, OLD, MIDDLE):
        assert subject_public_key_info(one.der) == one.spki
