//! What is served: metrics, whether observer lives, and whether it is ready.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
};

use super::{
    encode::Pages,
    format::Format,
    own_cost,
    state::{State, lock},
    users::Users,
};

/// What a front page says.
const FRONT: &str = "\
<!DOCTYPE html>
<title>observer</title>
<h1>observer</h1>
<p><a href=\"/metrics\">Metrics</a>, <a href=\"/healthz\">health</a>, <a href=\"/readyz\">readiness</a></p>
";

const TEXT: &str = "text/plain; charset=utf-8";

/// The site.
pub struct Site {
    state: Arc<Mutex<State>>,
    pages: Pages,
    /// Pages of the last report that somebody asked for, which all that ask for them share.
    kept: Mutex<Kept>,
    users: Option<Users>,
    /// How old the last report may be.
    stale_after: Duration,
}

#[derive(Default)]
struct Kept {
    version: u64,
    pages: Vec<(Format, Bytes)>,
}

impl Site {
    /// Of this state, for these users where it is not for everybody. Reports come with this period.
    #[must_use]
    pub fn new(state: Arc<Mutex<State>>, users: Option<Users>, period: Duration) -> Self {
        Self {
            pages: Pages::of(state.clone()),
            state,
            kept: Mutex::default(),
            users,
            // The last report of a great and busy host may take a while.
            stale_after: period.saturating_mul(3) + Duration::from_secs(30),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Counts a connection that was closed on a client.
    pub fn cut(&self, reason: &'static str) {
        *self.state().http.cut.entry(reason).or_default() += 1;
    }

    /// Answers a request.
    pub async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let response = self.respond(request).await;
        *self.state().http.answers.entry(response.status().as_u16()).or_default() += 1;
        response
    }

    async fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD are answered\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            // Those who ask whether it lives have no password, and learn nothing else.
            "/healthz" => self.health(),
            "/readyz" => self.readiness(),
            "/metrics" | "/" if !self.may(request).await => {
                let mut response = text(StatusCode::UNAUTHORIZED, "user and password are needed\n");
                let realm = HeaderValue::from_static("Basic realm=\"observer\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, realm);
                response
            }
            "/metrics" => self.metrics(request),
            "/" => page(StatusCode::OK, "text/html; charset=utf-8", FRONT.into()),
            _ => text(StatusCode::NOT_FOUND, "there is /metrics, /healthz and /readyz\n"),
        }
    }

    async fn may<B>(&self, request: &Request<B>) -> bool {
        match &self.users {
            None => true,
            Some(users) => {
                let given = request.headers().get(AUTHORIZATION);
                users.may(given.and_then(|value| value.to_str().ok())).await
            }
        }
    }

    fn metrics<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let accept = request.headers().get_all(ACCEPT).iter().filter_map(|one| one.to_str().ok());
        let format = Format::asked_for(&accept.collect::<Vec<_>>().join(","));
        match self.page(format) {
            Ok(bytes) => page(StatusCode::OK, format.content_type(), bytes),
            Err(why) => {
                log::error!("the metrics cannot be written: {why}");
                text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n")
            }
        }
    }

    /// The page as of the last report, written once for all.
    fn page(&self, format: Format) -> Result<Bytes, String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.state().version;
        if kept.version != version {
            *kept = Kept { version, pages: Vec::new() };
        }
        if let Some((_, bytes)) = kept.pages.iter().find(|(one, _)| *one == format) {
            return Ok(bytes.clone());
        }
        {
            let mut state = self.state();
            state.http.cpu_seconds = own_cost::cpu_seconds();
            state.http.resident = own_cost::resident();
        }
        let began = Instant::now();
        let bytes = Bytes::from(self.pages.page(format).map_err(|error| error.to_string())?);
        self.state().http.page_seconds = Some(began.elapsed().as_secs_f64());
        kept.pages.push((format, bytes.clone()));
        Ok(bytes)
    }

    /// Whether the last report came in time; `None` before the first.
    fn is_fresh(&self) -> Option<bool> {
        Some(self.state().reported?.elapsed() <= self.stale_after)
    }

    /// Whether reports come, or the first is still to come.
    pub fn is_healthy(&self) -> bool {
        self.is_fresh() != Some(false)
    }

    fn health(&self) -> Response<Full<Bytes>> {
        if self.is_healthy() {
            text(StatusCode::OK, "ok\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "no report for long\n")
        }
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        match self.is_fresh() {
            Some(true) => text(StatusCode::OK, "ready\n"),
            Some(false) => text(StatusCode::SERVICE_UNAVAILABLE, "no report for long\n"),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "no report yet\n"),
        }
    }
}

fn text(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    page(status, TEXT, Bytes::from_static(words.as_bytes()))
}

fn page(status: StatusCode, kind: &'static str, bytes: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
