use clap::Parser;

use super::*;

#[derive(Parser)]
struct Alone {
    #[command(flatten)]
    args: Args,
}

fn args(options: &[&str]) -> Args {
    Alone::try_parse_from([&["mine"], options].concat()).unwrap_or_else(|e| panic!("{e}")).args
}

fn pool_at(text: &str) -> location::Stratum {
    match text.parse() {
        Ok(Location::Stratum(at)) => at,
        other => panic!("{other:?}"),
    }
}

fn known_at(args: &Args, kinds: Kinds, text: &str) -> Result<Credentials, Failure> {
    match text.parse() {
        Ok(Location::Node(at)) => credentials(args, kinds, &at),
        other => panic!("{other:?}"),
    }
}

fn refused(options: &[&str]) -> String {
    let args = args(options);
    match recipes(&args, &args.sources) {
        Ok(_) => panic!("{options:?} is taken"),
        Err(failure) => failure.message,
    }
}

/// A port that Bitcoin Core does not use has no default cookie.
const NODE: &str = "gbt+http://127.0.0.1:9999";

const POOL: &str = "stratum+tcp://w@h:1";

const ADDRESS: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";

#[test]
fn a_pin_wins_over_insecure_and_a_sources_own_over_the_common_one() {
    let [a, b] = ["aa", "bb"].map(|byte| byte.repeat(32));
    let pinned = pool_at(&format!("stratum+tls://h:1?tls-fingerprint={a}"));
    let [a, b] = [a, b].map(|hex| hex.parse().unwrap());
    let plain = pool_at("stratum+tls://h:1");
    let insecure = args(&["--insecure"]);
    assert_eq!(tls(&insecure, &pinned), Some(Tls::Pinned(a)));
    assert_eq!(tls(&insecure, &plain), Some(Tls::Insecure));
    let common = args(&["--tls-fingerprint", &"bb".repeat(32)]);
    assert_eq!(tls(&common, &pinned), Some(Tls::Pinned(a)));
    assert_eq!(tls(&common, &plain), Some(Tls::Pinned(b)));
    assert_eq!(tls(&args(&[]), &plain), Some(Tls::System));
    assert_eq!(tls(&insecure, &pool_at("stratum+tcp://h:1")), None);
}

#[test]
fn who_is_insecure_or_passes_the_proxy_by_is_warned_of() {
    let pin = format!("stratum+tls://h:2?tls-fingerprint={}", "00".repeat(32));
    let args = args(&[
        "--insecure",
        "--proxy=socks5://p:1",
        "--user=w",
        "--payout-address",
        ADDRESS,
        "--source=stratum+tls://h:1",
        "--source",
        &pin,
        "--source=stratum+tcp://h:3",
        "--source",
        NODE,
    ]);
    let recipes = recipes(&args, &args.sources).unwrap_or_else(|e| panic!("{}", e.message));
    let insecure: Vec<bool> = recipes.iter().map(|recipe| recipe.title.is_insecure).collect();
    assert_eq!(insecure, [true, false, false, false]);
    let warned: Vec<bool> = recipes.iter().map(|recipe| recipe.warning.is_some()).collect();
    assert_eq!(warned, [true, false, false, true]);
    assert!(recipes[0].warning.unwrap().contains("--insecure"));
    assert!(recipes[3].warning.unwrap().contains("--proxy"));
}

#[test]
fn options_that_no_source_obeys_are_refused() {
    let pin = "00".repeat(32);
    let said = refused(&["--source", POOL, "--tls-fingerprint", &pin]);
    assert!(said.contains("stratum+tls://"), "{said}");
    assert!(refused(&["--tls-fingerprint", &pin]).contains("stratum+tls://"));
    let node = ["--source", NODE, "--payout-address", ADDRESS, "--proxy=socks5://p:1"];
    assert!(refused(&node).contains("--proxy"));
    assert!(refused(&["--proxy=socks5://p:1"]).contains("--proxy"));
}

#[test]
fn a_node_beside_a_pool_has_a_user_of_its_own_or_none() {
    let args = args(&["--user=worker", "--cookie-file=/c"]);
    let cookie = Ok(Credentials::Cookie("/c".into()));
    assert_eq!(known_at(&args, Kinds::Both, NODE), cookie);
    assert_eq!(known_at(&args, Kinds::One, NODE), cookie, "a user without a password is no login");
    let own = known_at(&args, Kinds::One, &format!("{NODE}?cookie-file=/own"));
    assert_eq!(own, Ok(Credentials::Cookie("/own".into())));
    let said = known_at(&args, Kinds::One, "gbt+http://rpc@h").unwrap_err().message;
    assert!(said.contains("?password-file=FILE"), "{said}");
    let said = known_at(&args, Kinds::Both, &format!("{NODE}?password-file=/p")).unwrap_err();
    assert!(said.message.contains("gbt+http://USER@HOST:PORT"), "{}", said.message);
}

#[test]
fn what_a_source_has_of_its_own_wins_and_a_password_goes_to_one_kind_only() {
    let folder = tempfile::tempdir().unwrap();
    let [common, own] = ["common", "own"].map(|name| {
        let path = folder.path().join(name);
        fs::write(&path, format!("{name}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let args = args(&["--user=rpc", "--password-file", &common, "--cookie-file=/c"]);
    let login = |user: &str, password: &str| {
        Ok(Credentials::UserPassword {
            user: user.to_owned(),
            password: Secret(password.to_owned()),
        })
    };
    assert_eq!(known_at(&args, Kinds::One, NODE), login("rpc", "common"));
    let at = format!("gbt+http://me@h?password-file={own}");
    assert_eq!(known_at(&args, Kinds::One, &at), login("me", "own"));
    assert_eq!(known_at(&args, Kinds::Both, &at), login("me", "own"));
    let cookie = known_at(&args, Kinds::One, &format!("{NODE}?cookie-file=/own"));
    assert_eq!(cookie, Ok(Credentials::Cookie("/own".into())));
    let said = known_at(&args, Kinds::Both, "gbt+http://me@h").unwrap_err().message;
    assert!(said.contains("?password-file=FILE"), "{said}");
    let pay = ["--payout-address", ADDRESS, "--password-file", &common];
    let said = refused(&[&["--source", POOL, "--source", NODE][..], &pay].concat());
    assert!(said.contains(POOL) && said.contains("?password-file=FILE"), "{said}");
    let with_own = format!("{POOL}?password-file={own}");
    let args = self::args(&[&["--source", &with_own, "--source", NODE][..], &pay].concat());
    assert!(recipes(&args, &args.sources).is_ok());
}

/// What the address is for.
const CHAIN: &str = "main";

/// What becomes of a block whose file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Submitted,
    Broken,
    NotItself,
    OfAnotherChain,
}

/// The submission of what a file holds, as the node would get it.
fn fate(settings: &gbt::Settings, file: &Path, content: &[u8], block: &str) -> Fate {
    fs::write(file, content).unwrap();
    let vault = Vault::at(file.parent().unwrap().parent().unwrap());
    let (mut kept, broken) = vault.unanswered();
    assert_eq!(kept.len() + broken.len(), 1);
    let Some(solved) = kept.pop().as_ref().and_then(solved) else { return Fate::Broken };
    let (mut client, now) = (gbt::Client::new(settings.clone()), Instant::now());
    client.recover(solved, now);
    if client.event().is_some() {
        return Fate::NotItself;
    }
    client.connected(now);
    let request = client.request(now).unwrap();
    let body = serde_json::json!({ "id": request.id, "result": { "chain": CHAIN }, "error": null });
    let answer = gbt::Answer { status: 200, body: body.to_string().into_bytes() };
    client.respond(request.id, &Ok(answer), now);
    let request: serde_json::Value =
        serde_json::from_slice(&client.request(now).unwrap().body).unwrap();
    if request["method"] != "submitblock" {
        return Fate::OfAnotherChain;
    }
    assert_eq!(request["params"][0], block, "another block than was stored");
    Fate::Submitted
}

#[test]
fn ten_thousand_flipped_bits_never_submit_another_block_than_was_stored() {
    let block = bitcoin::constants::genesis_block(bitcoin::Network::Bitcoin);
    let hex = bitcoin::consensus::encode::serialize_hex(&block);
    let hash = block.block_hash().to_string();
    let kept = Kept {
        hash: hash.clone(),
        height: 7,
        chain: CHAIN.to_owned(),
        block: hex.clone(),
        answer: None,
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("blocks/{hash}.json"));
    fs::create_dir(file.parent().unwrap()).unwrap();
    let whole = serde_json::to_vec(&kept).unwrap();
    let args = args(&["--payout-address", ADDRESS, "--source", NODE]);
    let recipe = recipes(&args, &args.sources).ok().unwrap().remove(0);
    let Way::Node(_, _, settings) = &recipe.way else { panic!("no node") };
    assert_eq!(fate(settings, &file, &whole, &hex), Fate::Submitted);
    let mut random = fastrand::Rng::with_seed(9);
    let mut fates = std::collections::BTreeMap::<Fate, u32>::new();
    for _ in 0..10_000 {
        let mut flipped = whole.clone();
        flipped[random.usize(..whole.len())] ^= 1 << random.u32(..8);
        *fates.entry(fate(settings, &file, &flipped, &hex)).or_default() += 1;
    }
    assert_eq!(fates.values().sum::<u32>(), 10_000);
    for fate in [Fate::Submitted, Fate::Broken, Fate::NotItself] {
        assert!(fates.contains_key(&fate), "{fates:?}");
    }
    // Only what does not matter differs then: the height, the word for the answer, and whether hex is in capitals.
    assert!(fates[&Fate::Submitted] < 1000, "{fates:?}");
}
