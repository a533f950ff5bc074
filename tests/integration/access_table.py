"""Who may do what: one row for each operation, one column for each kind of principal.

A cell is the status that is answered about something of tenant A (its key, its client, its limits)
or, where nothing is a tenant's, about something of the platform's. `tests/integration/
test_access_matrix.py` asks every cell of the real app, and finds what has no row.

The columns:

stranger   whoever shows no good credential (`STRANGERS`): none, malformed, unknown, expired,
           revoked, of a deleted tenant, or good for something else; keys, tokens and sessions
suspended  a key or a token of a suspended tenant, with every scope that tenants may hold
elsewhere  a key or a token that is bound to networks, asked from another one
predict    a key of A with `predict` alone
usage      a key of A with `usage:read` alone
admin      a key of A with `keys:read`, `keys:write`, `usage:read`, `models:read`
token      an access token of a client of A with the same
other      a key of B with every scope that tenants may hold
platform   a key of the platform with every scope
session    an admin's session with every scope that people may hold
ptoken     an access token of a client of the platform with every scope
billing    a key of the platform with `usage:read:all` alone

Statuses have one meaning each: 401 `unauthenticated`, 404 `not_found` or `model_not_found`; 403 is
`tenant_suspended` in the column `suspended`, `network_not_allowed` in `elsewhere`, and
`scope_missing` in all others. The three OAuth2 endpoints answer 401 `invalid_client`: what proves a
client there is no credential of any other operation, nor the other way round.
"""

from typing import Final

TABLE: Final = """
operation               stranger suspended elsewhere predict usage admin token other platform session ptoken billing
getLiveness                  200       200       200     200   200   200   200   200      200     200    200     200
getReadiness                 200       200       200     200   200   200   200   200      200     200    200     200
predict                      401       403       403     200   403   403   403   200      200     403    200     403
infer                        401       403       403     200   403   403   403   200      200     403    200     403
getInferenceLiveness         200       200       200     200   200   200   200   200      200     200    200     200
getInferenceReadiness        200       200       200     200   200   200   200   200      200     200    200     200
getInferenceServer           401       403       403     200   403   200   200   200      200     200    200     403
listInferenceStats           401       403       403     200   403   200   200   200      200     200    200     403
getInferenceModel            401       403       403     200   403   200   200   200      200     200    200     403
getInferenceModelReady       401       403       403     200   403   200   200   200      200     200    200     403
getInferenceModelConfig      401       403       403     200   403   200   200   200      200     200    200     403
getInferenceModelStats       401       403       403     200   403   200   200   200      200     200    200     403
getInferenceVersion          401       403       403     200   403   200   200   200      200     200    200     403
getInferenceVersionReady     401       403       403     200   403   200   200   200      200     200    200     403
getInferenceVersionConfig    401       403       403     200   403   200   200   200      200     200    200     403
getInferenceVersionStats     401       403       403     200   403   200   200   200      200     200    200     403
listRepository               401       403       403     200   403   200   200   200      200     200    200     403
loadModel                    401       403       403     403   403   403   403   403      200     200    200     403
unloadModel                  401       403       403     403   403   403   403   403      200     200    200     403
listModels                   401       403       403     200   403   200   200   200      200     200    200     403
getModel                     401       403       403     200   403   200   200   200      200     200    200     403
getModelMetadata             401       403       403     200   403   200   200   200      200     200    200     403
getModelVersion              401       403       403     200   403   200   200   200      200     200    200     403
getModelVersionMetadata      401       403       403     200   403   200   200   200      200     200    200     403
getModelLabel                401       403       403     404   403   404   404   404      404     404    404     403
getModelLabelMetadata        401       403       403     404   403   404   404   404      404     404    404     403
compareVersions              401       403       403     403   403   403   403   403      404     404    404     403
beginTrial                   401       403       403     403   403   403   403   403      404     404    404     403
endTrial                     401       403       403     403   403   403   403   403      404     404    404     403
listModelVersions            401       403       403     403   403   403   403   403      200     200    200     403
pushModelVersion             401       403       403     403   403   403   403   403      422     422    422     403
retireModelVersion           401       403       403     403   403   403   403   403      404     404    404     403
promoteModelVersion          401       403       403     403   403   403   403   403      200     200    200     403
rollBackModel                401       403       403     403   403   403   403   403      409     409    409     403
setModelLabel                401       403       403     403   403   403   403   403      200     200    200     403
removeModelLabel             401       403       403     403   403   403   403   403      204     204    204     403
getUsage                     401       403       403     403   200   200   200   200      200     200    200     200
listUsageRecords             401       403       403     403   200   200   200   200      200     200    200     200
listPeriods                  401       403       403     403   403   403   403   403      200     200    200     200
getPeriod                    401       403       403     403   403   403   403   403      200     200    200     200
closePeriod                  401       403       403     403   403   403   403   403      200     200    200     403
createCorrection             401       403       403     403   403   403   403   403      404     404    404     403
listAudit                    401       403       403     403   403   403   403   200      200     200    200     403
reportLeak                   204       204       204     204   204   204   204   204      204     204    204     204
createPlan                   401       403       403     403   403   403   403   403      201     201    201     403
listPlans                    401       403       403     403   403   403   403   403      200     200    200     403
getPlan                      401       403       403     403   403   403   403   403      200     200    200     403
createTenant                 401       403       403     403   403   403   403   403      201     201    201     403
listTenants                  401       403       403     403   403   403   403   403      200     200    200     403
getTenant                    401       403       403     403   403   403   403   403      200     200    200     403
changeTenant                 401       403       403     403   403   403   403   403      200     200    200     403
deleteTenant                 401       403       403     403   403   403   403   403      204     204    204     403
getLimits                    401       403       403     403   200   200   200   404      200     200    200     200
createKey                    401       403       403     403   403   201   201   404      201     201    201     403
listKeys                     401       403       403     403   403   200   200   404      200     200    200     403
getKey                       401       403       403     403   403   200   200   404      200     200    200     403
rotateKey                    401       403       403     403   403   201   201   404      201     201    201     403
revokeKey                    401       403       403     403   403   204   204   404      204     204    204     403
createClient                 401       403       403     403   403   201   201   404      201     201    201     403
listClients                  401       403       403     403   403   200   200   404      200     200    200     403
getClient                    401       403       403     403   403   200   200   404      200     200    200     403
rotateClient                 401       403       403     403   403   201   201   404      201     201    201     403
revokeClient                 401       403       403     403   403   204   204   404      204     204    204     403
logIn                        201       201       201     201   201   201   201   201      201     201    201     201
listSessions                 401       403       403     403   403   403   403   403      200     200    200     403
revokeSession                401       403       403     403   403   403   403   403      204     204    204     403
createAdmin                  401       403       403     403   403   403   403   403      201     201    201     403
listAdmins                   401       403       403     403   403   403   403   403      200     200    200     403
getAdmin                     401       403       403     403   403   403   403   403      200     200    200     403
changeAdmin                  401       403       403     403   403   403   403   403      200     200    200     403
enrolTotp                    401       403       403     403   403   403   403   403      404     404    404     403
confirmTotp                  401       403       403     403   403   403   403   403      404     404    404     403
removeTotp                   401       403       403     403   403   403   403   403      204     204    204     403
getServerMetadata            200       200       200     200   200   200   200   200      200     200    200     200
getKeySet                    200       200       200     200   200   200   200   200      200     200    200     200
getReceiptKeySet             200       200       200     200   200   200   200   200      200     200    200     200
issueToken                   401       401       401     401   401   401   401   401      401     401    401     401
revokeToken                  401       401       401     401   401   401   401   401      401     401    401     401
introspectToken              401       401       401     401   401   401   401   401      401     401    401     401
"""  # noqa: E501 - a table is read across


GRPC_TABLE: Final = """
method                  stranger suspended elsewhere predict usage admin token other platform session ptoken billing
ServerLive                   200       200       200     200   200   200   200   200      200     200    200     200
ServerReady                  200       200       200     200   200   200   200   200      200     200    200     200
ServerMetadata               401       403       403     200   403   200   200   200      200     200    200     403
ModelReady                   401       403       403     200   403   200   200   200      200     200    200     403
ModelMetadata                401       403       403     200   403   200   200   200      200     200    200     403
ModelConfig                  401       403       403     200   403   200   200   200      200     200    200     403
ModelInfer                   401       403       403     200   403   403   403   200      200     403    200     403
ModelStatistics              401       403       403     200   403   200   200   200      200     200    200     403
RepositoryIndex              401       403       403     200   403   200   200   200      200     200    200     403
RepositoryModelLoad          401       403       403     403   403   403   403   403      200     200    200     403
RepositoryModelUnload        401       403       403     403   403   403   403   403      200     200    200     403
"""  # noqa: E501 - the same
"""The methods of gRPC, with the statuses of HTTP that mean the same."""


def cells(table: str = TABLE) -> dict[str, dict[str, int]]:
    """Return the table: the status of each operation for each kind of principal."""
    head, *rows = (line.split() for line in table.strip().splitlines())
    return {row[0]: dict(zip(head[1:], map(int, row[1:]), strict=True)) for row in rows}
