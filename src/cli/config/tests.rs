use super::*;

#[test]
fn text_is_written_as_toml_has_it() {
    let keys = Keys::new();
    let of = |name: &str, values: &[&str]| written(keys.find(name).unwrap(), values);
    assert_eq!(of("user", &["a\"b\\c"]), r#"user = "a\"b\\c""#);
    assert_eq!(of("device", &["cpu", "0"]), r#"device = ["cpu", "0"]"#);
    assert_eq!(of("once", &["true"]), "once = true");
    let proxy = of("proxy", &["socks5://me:secret@host:1"]);
    assert_eq!(proxy, "proxy = \"socks5://me:…@host:1\"");
}

#[test]
fn the_sample_tells_every_key() {
    let keys = Keys::new();
    let text = sample::text(&keys);
    for key in keys.iter() {
        assert!(text.contains(&format!("\n# {} = ", key.name)), "{} is missing", key.name);
    }
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    // Without the marks of comments it is TOML, whatever the values mean.
    let (text, _) = text.split_once("# A source can also be a table").unwrap();
    let is_key =
        |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| keys.find(key).is_some());
    let set: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# ")).filter(is_key).collect();
    toml::de::DeTable::parse(&set.join("\n")).unwrap();
}
