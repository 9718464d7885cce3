use bitcoin::absolute::LockTime;
use bitcoin::consensus::deserialize;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, Sequence, TxIn, TxOut, Witness};
use proptest::prelude::*;

use super::*;
use crate::chain::pool_jobs::{POOL_JOBS, unhex};
use crate::chain::{CoinbaseParts, witness_commitment, witness_root};

const CHAINS: [Chain; 5] =
    [Chain::Main, Chain::Testnet3, Chain::Testnet4, Chain::Signet, Chain::Regtest];
const TESTNETS: &[Chain] = &[Chain::Testnet3, Chain::Testnet4, Chain::Signet];
const TESTS: &[Chain] = &[Chain::Testnet3, Chain::Testnet4, Chain::Signet, Chain::Regtest];

/// Addresses with their scripts and chains, from BIP 173, BIP 350, Bitcoin's wiki and block 0.
const ADDRESSES: [(&str, &str, &[Chain]); 15] = [
    (
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac",
        &[Chain::Main],
    ),
    (
        "17VZNX1SN5NtKa8UQFxwQbFeFc3iqRYhem",
        "76a91447376c6f537d62177a2c41c4ca9b45829ab9908388ac",
        &[Chain::Main],
    ),
    (
        "3EktnHQD7RiAE6uzMj2ZifT9YgRrkSgzQX",
        "a9148f55563b9a19f321c211e9b9f38cdf686ea0784587",
        &[Chain::Main],
    ),
    (
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
        "76a914243f1394f44554f4ce3fd68649c19adc483ce92488ac",
        TESTS,
    ),
    (
        "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc",
        "a9144e9f39ca4688ff102128ea4ccda34105324305b087",
        TESTS,
    ),
    (
        "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
        "0014751e76e8199196d454941c45d1b3a323f1433bd6",
        &[Chain::Main],
    ),
    (
        "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
        "0014751e76e8199196d454941c45d1b3a323f1433bd6",
        TESTNETS,
    ),
    (
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        "0014751e76e8199196d454941c45d1b3a323f1433bd6",
        &[Chain::Regtest],
    ),
    (
        "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
        "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
        &[Chain::Main],
    ),
    (
        "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
        "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
        TESTNETS,
    ),
    (
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        &[Chain::Main],
    ),
    (
        "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c",
        "5120000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433",
        TESTNETS,
    ),
    ("BC1SW50QGDZ25J", "6002751e", &[Chain::Main]),
    (
        "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs",
        "5210751e76e8199196d454941c45d1b3a323",
        &[Chain::Main],
    ),
    (
        "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
        "5128751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6",
        &[Chain::Main],
    ),
];

/// The last block before a halving and the first after it.
#[test]
fn halvings_are_where_each_chain_has_them() {
    for chain in CHAINS {
        let halving = if chain == Chain::Regtest { 150 } else { 210_000 };
        let coins = [halving - 1, halving]
            .map(|height| crate::chain::subsidy(height, chain.halving_interval()).to_sat());
        assert_eq!(coins, [5_000_000_000, 2_500_000_000], "{chain}");
    }
}

#[test]
fn time_changes_the_target_where_easy_blocks_are_allowed() {
    let by_time: Vec<Chain> =
        CHAINS.into_iter().filter(|chain| chain.time_changes_target()).collect();
    assert_eq!(by_time, [Chain::Testnet3, Chain::Testnet4, Chain::Regtest]);
}

#[test]
fn addresses_of_every_type_pay_their_script_on_their_chains_and_on_no_other() {
    for (text, script, chains) in ADDRESSES {
        for chain in CHAINS {
            let payout = parse_address(&format!(" {text}\n"), Some(chain));
            if !chains.contains(&chain) {
                let error = payout.unwrap_err();
                assert!(matches!(error, PayoutError::OtherChain { wanted, .. } if wanted == chain));
                let ends = format!(
                    "but the chain is {chain}; give one that starts with {}",
                    chain.addresses()
                );
                assert!(error.to_string().ends_with(&ends), "{error}");
                continue;
            }
            let payout = payout.unwrap();
            assert_eq!(payout.script.to_hex_string(), script, "{text}");
            assert_eq!(payout.address, text);
            let output = Output { value: Amount::ZERO, script: payout.script };
            let lower = if text.starts_with("BC1") { text.to_lowercase() } else { text.to_owned() };
            assert_eq!(output.address(chain), Some(lower));
        }
        let payout = parse_address(text, None).unwrap();
        assert_eq!(payout.chain(), chains[0]);
    }
    let wrong = parse_address("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", Some(Chain::Main));
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx is an address of testnet or signet, but the \
        chain is main; give one that starts with bc1…, 1… or 3…"
    );
}

#[test]
fn bcoin_writes_regtest_addresses_with_a_prefix_of_its_own() {
    let (prefix, program) = (bech32::Hrp::parse("rb").unwrap(), [0x11; 20]);
    let text = bech32::segwit::encode_v0(prefix, &program).unwrap();
    let payout = parse_address(&text, Some(Chain::Regtest)).unwrap();
    assert_eq!(payout.script.to_hex_string(), format!("0014{}", "11".repeat(20)));
    assert!(parse_address(&text, Some(Chain::Signet)).is_err());
}

#[test]
fn what_is_no_address_is_named_with_its_fault() {
    let error = |text: &str| parse_address(text, None).unwrap_err().to_string();
    for text in ["", "x", "äöü", "0x00", "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a"]
    {
        assert!(error(text).contains("is no address"), "{text}: {}", error(text));
    }
    let checksum = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5";
    assert!(error(checksum).contains("checksum"), "{}", error(checksum));
    let mixed = "bc1qW508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    assert!(error(mixed).contains("case"), "{}", error(mixed));
    let base58 = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb";
    assert!(error(base58).contains("checksum"), "{}", error(base58));
    // BIP 350: version 1 with bech32's checksum, version 0 with bech32m's, and a program of 16 bytes.
    for text in [
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
        "bc1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqt4rn96",
        "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
    ] {
        assert!(error(text).contains("is no address"), "{}", error(text));
    }
    // Litecoin's, in both forms.
    let litecoin = "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9";
    assert!(error(litecoin).contains("another chain") && error(litecoin).contains("\"ltc\""));
    assert!(error("LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1").contains("prefix"));
    let long = error(&"1".repeat(1 << 20));
    assert!(long.contains("1048576 characters") && long.len() < 400, "{long}");
}

fn coinbase(outputs: &[(u64, &str)]) -> Coinbase {
    let outputs = outputs.iter().map(|(sats, script)| Output {
        value: Amount::from_sat(*sats),
        script: ScriptBuf::from(unhex(script)),
    });
    Coinbase { height: None, tag: String::new(), outputs: outputs.collect() }
}

#[test]
fn a_rule_holds_at_its_percentage_and_above_and_says_who_is_paid_below() {
    let (address, script, _) = ADDRESSES[5];
    let (other, other_script, _) = ADDRESSES[0];
    let rule = |text: &str| -> PayoutRule { format!("{address}{text}").parse().unwrap() };
    let pays = |ours, others| coinbase(&[(others, other_script), (ours, script), (0, "6a00")]);

    assert!(rule("").check(&pays(1, u64::from(u32::MAX))).is_ok());
    assert!(rule("").check(&pays(0, 1)).is_err());
    assert!(rule("").check(&coinbase(&[])).is_err());
    assert!(rule("=100").check(&pays(5, 0)).is_ok());
    assert!(rule("=100%").check(&pays(5_000_000_000, 1)).is_err());
    assert!(rule("=98").check(&pays(98, 2)).is_ok());
    assert!(rule("= 98.5 %").check(&pays(98, 2)).is_err());
    assert!(rule("=98.5").check(&pays(985, 15)).is_ok());
    assert!(rule("=98.5").check(&pays(9849, 151)).is_err());
    assert!(rule("=0.000001").check(&pays(1, 99_999_999)).is_ok());
    assert!(rule("=0.000001").check(&pays(1, 100_000_000)).is_err());
    // Two outputs to the same address count together, and sums that pass a u64 do no harm.
    assert!(
        rule("=60").check(&coinbase(&[(30, script), (40, other_script), (30, script)])).is_ok()
    );
    assert!(rule("=60").check(&pays(u64::MAX, u64::MAX)).is_ok());

    let error = rule("=98.5").check(&pays(250_000_000, 62_500_000)).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "the coinbase pays 2.50000000 BTC of 3.12500000 BTC to {address}, but 98.5 % are asked for; \
            it pays 0.62500000 BTC to {other}, 2.50000000 BTC to {}",
            address.to_lowercase()
        )
    );
    let crowd = coinbase(&[(1, other_script); 7]);
    assert!(rule("").check(&crowd).unwrap_err().to_string().ends_with(" and 3 more"));
    let none = rule("").check(&coinbase(&[(0, "6a00")])).unwrap_err().to_string();
    assert!(none.ends_with("it pays nobody"), "{none}");
    assert_eq!(rule("=98.50").to_string(), format!("{address}=98.5"));
    assert_eq!(rule("").to_string(), address);
}

#[test]
fn rules_without_a_percentage_between_0_and_100_are_refused() {
    let (address, ..) = ADDRESSES[0];
    for percent in ["", "0", "-1", "100.1", "NaN", "inf", "x", "1e-400"] {
        let error = format!("{address}={percent}").parse::<PayoutRule>().unwrap_err();
        assert!(matches!(error, PayoutError::NoPercentage { .. }), "{percent}: {error}");
    }
    assert!("=50".parse::<PayoutRule>().is_err());
}

#[test]
fn the_coinbases_of_real_pools_say_their_height_tag_and_payees() {
    let read = |index: usize| {
        let job = &POOL_JOBS[index];
        let size = job.extranonce2.len() / 2;
        let (coinb1, extranonce1) = (unhex(job.coinb1), unhex(job.extranonce1));
        let parts = CoinbaseParts::new(&coinb1, &extranonce1, size, &unhex(job.coinb2)).unwrap();
        let bytes = parts.assemble(&unhex(job.extranonce2)).unwrap();
        Coinbase::of(&deserialize(&bytes).unwrap())
    };
    let public_pool = read(0);
    assert_eq!(public_pool.height, Some(901_936));
    assert!(public_pool.tag.starts_with("Public-Pool"), "{}", public_pool.tag);
    assert_eq!(public_pool.total(), Amount::from_sat(0x12c6_b5e5));
    let described: Vec<String> =
        public_pool.outputs.iter().map(|output| output.describe(Chain::Main)).collect();
    assert_eq!(
        described,
        ["bc1qnp980s5fpp8l94p5cvttmtdqy8rvrq74qly2yrfmzkdsntqzlc5qkc4rkq", "witness commitment"]
    );
    let slush = read(1);
    assert!(slush.tag.contains("/P2SH/") && slush.tag.contains("/slush/"), "{}", slush.tag);
    assert_eq!(
        slush.outputs[0].address(Chain::Main).unwrap(),
        "1LAhLWDhe57YEcTk6mPkh85cYyRnCcyH7j"
    );
    assert_eq!(read(2).height, Some(349));
}

#[test]
fn a_coinbase_of_anything_is_bounded_and_described() {
    let script = [&unhex("51")[..], &[b'a'; 5000], &[0], b"abc", &[7], b" ok! "].concat();
    let transaction = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: script.into(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: ["", "6a", "6a0568656c6c6f", "6a4c", "ac"]
            .map(|hex| TxOut { value: Amount::MAX, script_pubkey: unhex(hex).into() })
            .to_vec(),
    };
    let coinbase = Coinbase::of(&transaction);
    assert_eq!((coinbase.height, coinbase.tag), (Some(1), "a".repeat(FOREIGN_TEXT)));
    let described: Vec<String> =
        coinbase.outputs.iter().map(|output| output.describe(Chain::Main)).collect();
    assert_eq!(
        described,
        [
            "script of 0 bytes",
            "OP_RETURN, 0 bytes",
            "OP_RETURN, 5 bytes",
            "OP_RETURN, 0 bytes",
            "script of 1 bytes"
        ]
    );
    let empty = Transaction { input: Vec::new(), output: Vec::new(), ..transaction };
    let empty = Coinbase::of(&empty);
    assert_eq!((empty.height, empty.tag.as_str(), empty.total()), (None, "", Amount::ZERO));
    assert!(is_witness_commitment(&witness_commitment(witness_root(&[]), &[0; 32])));
    assert!(!is_witness_commitment(Script::from_bytes(&unhex("6a24aa21a9ed"))));
}

#[test]
fn chains_have_the_names_of_getblockchaininfo() {
    for chain in CHAINS {
        assert_eq!(chain.to_string().parse(), Ok(chain));
    }
    assert_eq!("test".parse(), Ok(Chain::Testnet3));
    let error = "simnet".parse::<Chain>().unwrap_err().to_string();
    assert!(error.starts_with("\"simnet\" is no chain that adit knows"), "{error}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,100}", rule in "[a-z0-9=%.1]{0,100}") {
        let _ = parse_address(&text, None);
        let _ = rule.parse::<PayoutRule>();
    }

    #[test]
    fn no_script_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for chain in CHAINS {
            let output = Output { value: Amount::ZERO, script: bytes.clone().into() };
            prop_assert!(!output.describe(chain).is_empty());
            if let Some(address) = output.address(chain) {
                prop_assert_eq!(parse_address(&address, Some(chain)).unwrap().script, output.script);
            }
        }
    }
}
