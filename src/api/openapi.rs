//! The OpenAPI document, made of the very types that are answered.

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Value, json};

use super::history::Columns;
use super::routes::{Problem, Status, Wanted};
use crate::engine::governor;
use crate::runtime::snapshot::{Device, Line, Shared, Source};

/// Describes every path.
pub(super) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let ok = |what: &str, kind: &str, schema: Value| json!({ "200": { "description": what, "content": { kind: { "schema": schema } } } });
    let change = |summary: &str, body: Option<Value>, schema: Value| {
        let mut answers = ok("How the devices are governed then.", "application/json", schema);
        answers["default"] = json!({ "$ref": "#/components/responses/Problem" });
        let mut post = json!({
            "summary": summary,
            "description": "Takes the token.",
            "responses": answers,
            "security": [{ "token": [] }],
        });
        if let Some(schema) = body {
            post["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        }
        json!({ "post": post })
    };
    let text = || json!({ "type": "string" });
    let read = |summary: &str, answers: Value| {
        let mut answers = answers;
        answers["default"] = json!({ "$ref": "#/components/responses/Problem" });
        json!({ "get": { "summary": summary, "responses": answers } })
    };
    let json_of = |summary: &str, schema: Value| {
        read(summary, ok("As it is now.", "application/json", schema))
    };
    let paths = json!({
        "/": read("The web page", ok("A page that shows the run.", "text/html", text())),
        "/healthz": read("Whether the run goes on", ok("It does.", "text/plain", text())),
        "/metrics": read("All figures for Prometheus", ok("Prometheus text format.", "text/plain", text())),
        "/openapi.json": read("This document", ok("OpenAPI.", "application/json", json!({ "type": "object" }))),
        "/v1/status": json_of("The run as a whole", schema::<Status<'_>>(&mut schemas)),
        "/v1/devices": json_of("The devices", schema::<Vec<Device>>(&mut schemas)),
        "/v1/sources": json_of("The sources", schema::<Vec<Source>>(&mut schemas)),
        "/v1/shares": json_of("The last shares, the newest last", schema::<Vec<Shared>>(&mut schemas)),
        "/v1/history": json_of("A day for charts, in columns", schema::<Columns>(&mut schemas)),
        "/v1/pause": change("Pauses all devices", None, schema::<governor::Status>(&mut schemas)),
        "/v1/resume": change(
            "Lets them go on, where only this API paused them",
            None,
            schema::<governor::Status>(&mut schemas),
        ),
        "/v1/profile": change(
            "Chooses a profile",
            Some(schema::<Wanted>(&mut schemas)),
            schema::<governor::Status>(&mut schemas),
        ),
        "/v1/events": read(
            "What changes, as server-sent events: each second `status`, `devices` and `sources` as their paths \
             answer, and each new or changed `share` and each new `line` of the log",
            ok("A stream of events.", "text/event-stream", text()),
        ),
    });
    let problem = schema::<Problem>(&mut schemas);
    // Of the events only.
    schema::<Line>(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "adit",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A run of `adit mine`. What is not known is null. Hashes are written as explorers show \
                            them. Text of pools and drivers is as it came.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "responses": {
                "Problem": {
                    "description": "No answer, and why.",
                    "content": { "application/json": { "schema": problem } },
                },
            },
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{}, { "token": [] }],
    })
}

fn schema<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().into()
}
