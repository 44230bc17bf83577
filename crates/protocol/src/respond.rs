use axum::body::Body;
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use whimbrel_model::Fault;

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// A successful answer.
pub(crate) fn answer(request_id: &str, body: &Value) -> Response<Body> {
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    response(StatusCode::OK, request_id, text)
}

/// A fault as clients read it: the name in `__type` and in a header, the text in `message`.
pub(crate) fn fault(request_id: &str, fault: &Fault) -> Response<Body> {
    let mut body = json!({"__type": fault.code.as_str(), "message": fault.message});
    if let Some(arn) = &fault.resource_arn {
        body["resourceArn"] = json!(arn);
    }
    let status = StatusCode::from_u16(fault.code.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = response(status, request_id, body.to_string());
    response.headers_mut().insert(
        "x-amzn-ErrorType",
        HeaderValue::from_static(fault.code.as_str()),
    );
    response
}

fn response(status: StatusCode, request_id: &str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static(CONTENT_TYPE),
    );
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-RequestId", id);
    }
    response
}
