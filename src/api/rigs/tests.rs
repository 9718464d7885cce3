use super::*;
use crate::api::sample;

fn text_of(command: &str) -> String {
    answer(command, &sample::snapshot())
}

fn json_of(request: &str) -> Value {
    serde_json::from_str(&answer(request, &sample::snapshot())).unwrap()
}

/// The sections of a text, each with its fields.
fn sections(text: &str) -> Vec<Vec<(&str, &str)>> {
    let sections = text.strip_suffix('|').unwrap().split('|');
    let field = |field| str::split_once(field, '=').unwrap_or((field, ""));
    sections.map(|section| section.split(',').map(field).collect()).collect()
}

fn value<'t>(section: &[(&str, &'t str)], key: &str) -> &'t str {
    section.iter().find(|(name, _)| *name == key).unwrap_or_else(|| panic!("no {key}")).1
}

#[test]
fn text_has_a_status_and_a_section() {
    for (command, code, name, items) in [
        ("version", "22", "VERSION", 1),
        ("summary", "11", "SUMMARY", 1),
        ("devs", "9", "GPU", 2),
        ("pools", "7", "POOL", 2),
        ("config", "33", "CONFIG", 1),
    ] {
        let text = text_of(command);
        let sections = sections(&text);
        assert_eq!(sections[0][0], ("STATUS", "S"), "{text}");
        assert_eq!(value(&sections[0], "Code"), code);
        assert_eq!(value(&sections[0], "Description"), "adit 0.1.0");
        assert_eq!(sections.len(), 1 + items, "{text}");
        assert!(sections[1..].iter().all(|section| section[0].0 == name), "{text}");
    }
}

#[test]
fn figures_are_in_the_units_of_their_names() {
    let text = text_of("summary");
    let sections = sections(&text);
    for (key, expected) in [
        ("MHS 5s", "30"),
        ("Total MH", "4900"),
        ("Accepted", "10"),
        ("Stale", "2"),
        ("Hardware Errors", "1"),
        ("Difficulty Accepted", "40"),
        ("Utility", "6"),
        ("Elapsed", "100"),
        ("Pool Stale%", "15.3846"),
    ] {
        assert_eq!(value(&sections[1], key), expected, "{key}");
    }
    let devices = text_of("devs");
    assert!(devices.contains("Temperature=61.5000,"), "{devices}");
    assert_eq!(devices.matches("Temperature=").count(), 1, "what is not known is left out");
    assert!(devices.contains("Status=Dead") && devices.contains("Enabled=N"), "{devices}");
}

#[test]
fn json_is_answered_in_json_and_joined_commands_together() {
    let summary = json_of(r#"{"command":"summary"}"#);
    assert_eq!(summary["STATUS"][0]["Code"], 11);
    assert_eq!((&summary["SUMMARY"][0]["MHS 1m"], &summary["id"]), (&json!(30.0), &json!(1)));
    let both = json_of(r#"{"command":"devs+pools+devs","parameter":"0"}"#);
    assert_eq!(both["devs"][0]["DEVS"][1]["GPU"], 1);
    assert_eq!(both["pools"][0]["POOLS"][0]["Status"], "Alive");
    assert_eq!(both.as_object().unwrap().len(), 3);
    let text = text_of("summary+version");
    assert!(text.starts_with("CMD=summary|STATUS=S,") && text.contains("|CMD=version|STATUS=S,"));
}

#[test]
fn nothing_can_be_changed_and_nonsense_is_told() {
    let code = |request: &str| {
        let text = text_of(request);
        let sections = sections(&text);
        assert_eq!((sections.len(), sections[0][0]), (1, ("STATUS", "E")), "{text}");
        value(&sections[0], "Code").to_owned()
    };
    for command in PRIVILEGED {
        assert_eq!(code(&format!("{command}|0")), "45", "{command}");
    }
    assert_eq!(code("sumary"), "14");
    assert_eq!(code(""), "14");
    for (request, expected) in [
        ("{", 23),
        ("{}", 24),
        (r#"{"command":7}"#, 14),
        (r#"{"command":"addpool","parameter":"a,b,c"}"#, 45),
    ] {
        assert_eq!(json_of(request)["STATUS"][0]["Code"], expected, "{request}");
    }
    assert!(is_partial(br#"{"command":"sum"#));
    assert!(
        !is_partial(br#"{"command":"summary"}"#) && !is_partial(b"summary") && !is_partial(b"{]")
    );
}

#[test]
fn names_cannot_break_the_form() {
    let text = text_of("devs");
    assert_eq!(sections(&text).len(), 3, "{text}");
    assert!(!text.contains('\n') && text.contains("Name=card 0 <img src_x"), "{text}");
    let text = text_of("a|b=c,d");
    assert!(text.starts_with("STATUS=E,"), "{text}");
    let text = text_of("x=1,y+z\n");
    assert!(text.starts_with("CMD=x_1_y|STATUS=E,"), "{text}");
}
