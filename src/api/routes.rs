//! What can be asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::gate::{Gate, Refusal};
use super::history::History;
use super::metrics::{CONTENT_TYPE, Metrics};
use super::server::Presence;
use super::{events, openapi, page};
use crate::engine::DeviceId;
use crate::engine::governor::{Asker, Event};
use crate::engine::outbox::Counts;
use crate::limits::{HTTP_BODY, HTTP_FOLLOWERS, HTTP_PATIENCE};
use crate::runtime::Control;
use crate::runtime::snapshot::{Hashes, Run, Snapshot, Viewer};
use crate::work::Profile;

/// The mining may take so long between two snapshots, and still be well.
const STALE: Duration = Duration::from_secs(30);

/// What all answers are made of.
pub(super) struct Desk {
    pub(super) gate: Gate,
    pub(super) viewer: Viewer,
    pub(super) history: Mutex<History>,
    control: Control,
    metrics: Metrics,
    followers: Arc<Semaphore>,
}

/// A run without its devices, sources and shares.
#[derive(Serialize, JsonSchema)]
pub(super) struct Status<'s> {
    /// The run as a whole.
    run: &'s Run,
    /// The shares of all sources.
    shares: &'s Counts,
    /// The difficulty of the best hash of a share.
    best_share_difficulty: Option<f64>,
    /// Where the hashes of all jobs are.
    hashes: &'s Hashes,
    /// Whether a token lets its owner pause the run and choose profiles.
    controllable: bool,
}

/// The profile that a device shall work with.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The profile.
    profile: Profile,
    /// The device; all where none is named.
    #[serde(default)]
    device: Option<DeviceId>,
}

/// Why there is no answer.
#[derive(Serialize, JsonSchema)]
pub(super) struct Problem {
    /// The cause, and the way out.
    pub(super) error: String,
}

impl<'s> Status<'s> {
    pub(super) const fn of(snapshot: &'s Snapshot, controllable: bool) -> Self {
        Self {
            controllable,
            run: &snapshot.run,
            shares: &snapshot.shares,
            best_share_difficulty: snapshot.best_share_difficulty,
            hashes: &snapshot.hashes,
        }
    }
}

impl Desk {
    pub(super) fn new(gate: Gate, viewer: Viewer, control: Control) -> Self {
        Self {
            gate,
            control,
            metrics: Metrics::new(viewer.clone()),
            viewer,
            history: Mutex::new(History::new()),
            followers: Arc::new(Semaphore::new(HTTP_FOLLOWERS)),
        }
    }

    /// Notes how the run is, for its charts.
    pub(super) fn note(&self) {
        let snapshot = self.latest();
        self.history.lock().unwrap_or_else(PoisonError::into_inner).push(&snapshot);
    }

    fn latest(&self) -> Arc<Snapshot> {
        self.viewer.borrow().clone()
    }
}

type Shown = State<Arc<Desk>>;

/// Every path and what answers it.
pub(super) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(async || Json(openapi::document())))
        .route("/v1/status", get(status))
        .route("/v1/devices", get(async |State(desk): Shown| json(&desk.latest().devices)))
        .route("/v1/sources", get(async |State(desk): Shown| json(&desk.latest().sources)))
        .route("/v1/shares", get(shares))
        .route("/v1/history", get(history))
        .route("/v1/events", get(follow))
        .route("/v1/pause", post(pause))
        .route("/v1/resume", post(resume))
        .route("/v1/profile", post(profile))
        .fallback(async || {
            problem(StatusCode::NOT_FOUND, "there is no such path; see /openapi.json")
        })
        .method_not_allowed_fallback(async || {
            problem(StatusCode::METHOD_NOT_ALLOWED, "not with this method; see /openapi.json")
        })
        .layer(DefaultBodyLimit::max(HTTP_BODY))
        .layer(from_fn_with_state(Arc::clone(&desk), guard))
        .with_state(desk)
}

/// Lets a request in or not, and says in each answer what browsers must not do with it.
async fn guard(State(desk): Shown, request: Request, next: Next) -> Response {
    if let Some(presence) = request.extensions().get::<Presence>() {
        presence.asks();
    }
    let (method, path) = (request.method(), request.uri().path());
    let mut response = match desk.gate.check(method, path, request.headers()) {
        Ok(()) => timeout(HTTP_PATIENCE, next.run(request)).await.unwrap_or_else(|_| {
            problem(StatusCode::REQUEST_TIMEOUT, "the request did not come in time")
        }),
        Err(refusal) => refuse(refusal),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refuse(refusal: Refusal) -> Response {
    let mut response = problem(refusal.status(), &refusal.to_string());
    if refusal == Refusal::Token {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

async fn page() -> impl IntoResponse {
    ([(header::CONTENT_SECURITY_POLICY, page::policy())], Html(page::PAGE))
}

/// Well as long as the run says how it is.
async fn health(State(desk): Shown) -> Response {
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let age = unix.unwrap_or_default().as_secs_f64() - desk.latest().run.unix_seconds;
    if age < STALE.as_secs_f64() {
        return "ok\n".into_response();
    }
    let why = format!("the run has said nothing for {age:.0} s");
    problem(StatusCode::SERVICE_UNAVAILABLE, &why)
}

async fn metrics(State(desk): Shown) -> Response {
    match desk.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn status(State(desk): Shown) -> Response {
    json(&Status::of(&desk.latest(), desk.gate.token.is_some()))
}

async fn pause(State(desk): Shown) -> Response {
    desk.control.pause(Asker::Api);
    json(&desk.control.status())
}

async fn resume(State(desk): Shown) -> Response {
    desk.control.resume(Asker::Api);
    json(&desk.control.status())
}

async fn profile(State(desk): Shown, wanted: Result<Json<Wanted>, JsonRejection>) -> Response {
    let wanted = match wanted {
        Ok(Json(wanted)) => wanted,
        Err(error) => return problem(error.status(), &error.body_text()),
    };
    let devices = desk.control.status().devices;
    if let Some(device) = wanted.device
        && devices.iter().all(|known| known.device != device)
    {
        return problem(StatusCode::NOT_FOUND, &format!("there is no {device}; see /v1/devices"));
    }
    desk.control.handle(Event::Profile(wanted.device, wanted.profile));
    json(&desk.control.status())
}

async fn shares(State(desk): Shown) -> Response {
    json(&desk.latest().last_shares.iter().map(Arc::as_ref).collect::<Vec<_>>())
}

async fn history(State(desk): Shown) -> Response {
    json(&desk.history.lock().unwrap_or_else(PoisonError::into_inner).columns())
}

async fn follow(State(desk): Shown, Extension(presence): Extension<Presence>) -> Response {
    let Ok(seat) = Arc::clone(&desk.followers).try_acquire_owned() else {
        let why = format!("{HTTP_FOLLOWERS} clients follow the run already; ask again later");
        return problem(StatusCode::SERVICE_UNAVAILABLE, &why);
    };
    presence.follows();
    events::events(desk.viewer.clone(), desk.gate.token.is_some(), seat).into_response()
}

fn json(value: &impl Serialize) -> Response {
    Json(value).into_response()
}

fn problem(status: StatusCode, error: &str) -> Response<Body> {
    (status, Json(Problem { error: error.to_owned() })).into_response()
}
