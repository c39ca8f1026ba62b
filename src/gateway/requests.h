/* Records of requests, for those who made them. */
#ifndef GATEWAY_REQUESTS_H
#define GATEWAY_REQUESTS_H

#include "access/access.h"
#include "http/server.h"
#include "jobs/records.h"

#define REQUESTS_PATH "/v1/requests/"

/* [parks] GET /v1/requests/{id}: the record as JSON, for its owner. Of others it is not even told
 * that they exist: E_NOT_FOUND. */
int requests_get(struct http_exchange *x, struct records *book, const struct access_grant *g,
    struct err *err) WARN_UNUSED;

/* Whose a request is, for its record. Borrows from the grant. */
struct record_origin requests_origin(const struct access_grant *g);

#endif
