"""Certificates."""

import pytest

from resources import ca_of, make_endpoint, refused, unique
from test_wrong_input import post


@pytest.fixture
def pem(servers):
    return ca_of(servers["postgres15"])


def test_an_imported_certificate_says_whose_and_how_long(dms, pem):
    identifier = unique("certificate")
    made = dms.import_certificate(CertificateIdentifier=identifier, CertificatePem=pem)["Certificate"]
    assert made["CertificateIdentifier"] == identifier
    assert ":cert:" in made["CertificateArn"]
    assert made["ValidFromDate"] < made["ValidToDate"]
    assert made["KeyLength"] > 0
    filters = [{"Name": "certificate-id", "Values": [identifier]}]
    assert dms.describe_certificates(Filters=filters)["Certificates"] == [made]
    filters = [{"Name": "certificate-arn", "Values": [made["CertificateArn"]]}]
    assert dms.describe_certificates(Filters=filters)["Certificates"] == [made]


def test_what_is_no_certificate_is_refused(dms, pem):
    with refused("InvalidCertificateFault"):
        dms.import_certificate(CertificateIdentifier=unique("bad"), CertificatePem="nonsense")
    body = pem.replace("M", "N", 5)
    with refused("InvalidCertificateFault"):
        dms.import_certificate(CertificateIdentifier=unique("bad"), CertificatePem=body)
    with refused("InvalidParameterValueException"):
        dms.import_certificate(CertificateIdentifier=unique("none"))


def test_an_identifier_is_taken_once(dms, pem):
    identifier = unique("certificate")
    dms.import_certificate(CertificateIdentifier=identifier, CertificatePem=pem)
    with refused("ResourceAlreadyExistsFault"):
        dms.import_certificate(CertificateIdentifier=identifier, CertificatePem=pem)


def test_pages_of_certificates_hold_ten_unless_asked(dms, pem):
    for _ in range(11):
        dms.import_certificate(CertificateIdentifier=unique("many"), CertificatePem=pem)
    page = dms.describe_certificates()
    assert len(page["Certificates"]) == 10
    assert page["Marker"]


def test_a_certificate_in_use_stays(dms, pem):
    made = dms.import_certificate(CertificateIdentifier=unique("used"), CertificatePem=pem)["Certificate"]
    endpoint = make_endpoint(dms, SslMode="verify-full", CertificateArn=made["CertificateArn"])
    assert endpoint["CertificateArn"] == made["CertificateArn"]
    with refused("InvalidResourceStateFault"):
        dms.delete_certificate(CertificateArn=made["CertificateArn"])


def test_a_deleted_certificate_is_gone(dms, pem):
    made = dms.import_certificate(CertificateIdentifier=unique("gone"), CertificatePem=pem)["Certificate"]
    dms.delete_certificate(CertificateArn=made["CertificateArn"])
    with refused("ResourceNotFoundFault"):
        dms.delete_certificate(CertificateArn=made["CertificateArn"])


def test_a_wallet_that_is_not_base64_is_refused(whimbrel):
    status, answer = post(whimbrel, "ImportCertificate", {"CertificateIdentifier": "w", "CertificateWallet": "no base64!"})
    assert (status, answer["__type"]) == (400, "SerializationException")
    assert "CertificateWallet must be base64" in answer["message"]
