//! Merkle trees of transaction ids, and the branch that ties a coinbase to a header.

use bitcoin::hashes::Hash;
use bitcoin::{TxMerkleNode, Txid, WitnessMerkleNode, Wtxid};

use super::sha256d;

/// A node: SHA-256d of two children, or a transaction id.
type Node = [u8; 32];

/// The merkle root over a coinbase `leaf` and its `branch`, from the leaves to the top.
///
/// Source: Stratum v1 `mining.notify`, where the branch is the fifth parameter.
#[must_use]
pub fn fold_branch(leaf: Txid, branch: &[TxMerkleNode]) -> TxMerkleNode {
    let branch = branch.iter().map(|node| node.to_byte_array());
    TxMerkleNode::from_byte_array(fold(leaf.to_byte_array(), branch))
}

/// The branch of a block's first transaction, given the ids of all the others in block order.
///
/// Empty when there are no others. [`fold_branch`] turns it into the root for any coinbase.
/// Source: Bitcoin Core, `TransactionMerklePath` for position 0.
#[must_use]
pub fn branch_of_coinbase(txids: &[Txid]) -> Vec<TxMerkleNode> {
    let others = txids.iter().map(|txid| txid.to_byte_array()).collect();
    branch(others).into_iter().map(TxMerkleNode::from_byte_array).collect()
}

/// The merkle root of all transactions of a block, the coinbase first; `None` without transactions.
///
/// A list that repeats its last ids has the same root (CVE-2012-2459): to judge a foreign block,
/// check for repeats as well. Source: Bitcoin Core, `BlockMerkleRoot`.
#[must_use]
pub fn root(txids: &[Txid]) -> Option<TxMerkleNode> {
    let (coinbase, others) = txids.split_first()?;
    Some(fold_branch(*coinbase, &branch_of_coinbase(others)))
}

/// The witness root, given the witness ids of all transactions but the coinbase, in block order.
///
/// The coinbase counts as zero, because it holds the commitment to this very root.
/// Source: BIP 141, and Bitcoin Core's `BlockWitnessMerkleRoot`.
#[must_use]
pub fn witness_root(wtxids: &[Wtxid]) -> WitnessMerkleNode {
    let others = wtxids.iter().map(|wtxid| wtxid.to_byte_array()).collect();
    WitnessMerkleNode::from_byte_array(fold([0; 32], branch(others)))
}

/// Hashes `leaf`, always the left child, up along `branch`.
fn fold(leaf: Node, branch: impl IntoIterator<Item = Node>) -> Node {
    branch.into_iter().fold(leaf, |left, right| parent(&left, &right))
}

/// The siblings on the way up from position 0, given the leaves from position 1 on.
fn branch(mut level: Vec<Node>) -> Vec<Node> {
    let mut branch = Vec::new();
    while let Some((sibling, rest)) = level.split_first() {
        branch.push(*sibling);
        // The pair of position 0 and its sibling is left out; the others move up, and the last of
        // an odd number is paired with itself.
        let (pairs, odd) = rest.as_chunks();
        let parents = pairs.iter().map(|[left, right]| parent(left, right));
        level = parents.chain(odd.iter().map(|last| parent(last, last))).collect();
    }
    branch
}

fn parent(left: &Node, right: &Node) -> Node {
    sha256d([*left, *right].as_flattened())
}

#[cfg(test)]
mod tests {
    use bitcoin::merkle_tree::calculate_root;
    use proptest::prelude::*;

    use super::*;

    fn txids(ids: &[&str]) -> Vec<Txid> {
        ids.iter().map(|id| id.parse().unwrap()).collect()
    }

    /// Bytes in the order of SHA-256, as Stratum sends them.
    fn node(hex: &str) -> TxMerkleNode {
        TxMerkleNode::from_byte_array(crate::chain::hex::bytes(hex).unwrap())
    }

    #[test]
    fn block_170_of_the_main_chain() {
        let ids = txids(&[
            "b1fea52486ce0c62bb442b530a3f0132b826c74e473d1f2c220bfa78111c5082",
            "f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16",
        ]);
        let expected = "7dac2c5666815c17a3b36427de37bb9d2e2c5ccec3f8633eb91a4205cb4c10ff";
        assert_eq!(root(&ids).unwrap().to_string(), expected);
        assert_eq!(branch_of_coinbase(&ids[1..]), [TxMerkleNode::from(ids[1])]);
    }

    #[test]
    fn a_coinbase_alone_is_the_root() {
        let ids = txids(&["4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"]);
        assert_eq!(root(&ids), Some(TxMerkleNode::from(ids[0])));
        assert_eq!(branch_of_coinbase(&[]), []);
        assert_eq!(root(&[]), None);
    }

    // A regtest block template of Bitcoin Core 31.99: txid and witness id of 12 transactions.
    const TEMPLATE: [(&str, &str); 12] = [
        (
            "edd3f90bf9303e6c8943c7cee0a87b11bbec15bf4eed6efc899d167cad21cb1b",
            "1f8b96b200a33e4960cedc43956201693d53480d30b5adaa943bab42ed553dfc",
        ),
        (
            "75396268306af8a6467df20b0b5a7a0fde451104270e770deb7f3de0fdec9a28",
            "14b31118e94e91f35b96d7c6988c4b89981437741a21a4a6d56d9b29fc6290c4",
        ),
        (
            "ac4fab628d86898a3966c4f0fbf60c6c0e09923cdf1b103f1b299af4dd1e4ab9",
            "7b4110648e16d2f89871c59648b2aa3db9b279cf0e9a95d2205d7bc34de7a857",
        ),
        (
            "8c4a75e5ea1e0030a9f94b640788492cbb804bcba11566c925f0b1262d554d29",
            "6a95e15de95a3aed783d060b139ddb35d14837303d030f2633e7c537e49926a8",
        ),
        (
            "6e99a84e9d5819abd4f85c0f88c61fda8432b75f67ad5db0f5ce8e9b78123f6d",
            "31b60e48dcf1b31486de8ebab62dd69c03cf7d3271c097d7b1d125fbb8e955ab",
        ),
        (
            "8f1ed2cba8203e835386d29c69deac839f81b2fb77864a507239cf3fa07643ec",
            "9be6fa58938c8b3219139f4dd0f2f9a71a6bf7791632deb333ddb2425c256332",
        ),
        (
            "80b029d8ae68c8b7ba86b335fa6553ae0ab25079f268ba0022e4f474a46e294f",
            "e785e8c0121992cb3b0adab9f0d7d45ff3da600845d8d553b76519c89f9dc94b",
        ),
        (
            "d3e6cd68fe46e928c170b99ab384bd60db8181624e567cc5dbbf6c079e9aacb9",
            "c5b1312b0d106429c2b59b7b8ff5de6c62f7dc208cda482a36f7c5b34c6ca0ef",
        ),
        (
            "69e79f00e372a60a5850cb515f727bb9a6c9ded0070eb46b6adbc256afa5d823",
            "e48969d0d079aa93592edee30d84b3aa9c480a786455047e35baad215677d7a7",
        ),
        (
            "3ee2bec7f4d5a6e8ad077abf1bfeddebd3c3164e8e21c32228336d14a18c536e",
            "029345ed502aa0c0992d1f689673ef46f2f088376c6789fcdd572ac34a740689",
        ),
        (
            "2a4bd1fa64b85765e574dc8341c9396b99e014940dcba5b3c6be78593967b3ab",
            "b5b0ac92ebdbfc9d60dfc3951e701fdf6e22959cf4545d3fde58038e943c2242",
        ),
        (
            "94b95d21693b06ca35ecfb768044714b9223b52354a8af4b08c97b6e8d2d92c4",
            "1ce5b48c48fa224541ce2609ed14ac76c61a846736f56345635a2f304c1adf89",
        ),
    ];

    #[test]
    fn a_block_template_of_bitcoin_core() {
        let others = txids(&TEMPLATE.map(|(txid, _)| txid));
        let coinbase = txids(&["43cb9b537834e046b1e6e081c159c38880bbfcbe6a7ef21fe5d1eaf2d3652759"]);
        let expected = node("b86395b273bad9be70a41c7f8139ef08a591559468691c2a881d36635559600a");
        assert_eq!(fold_branch(coinbase[0], &branch_of_coinbase(&others)), expected);
        assert_eq!(root(&[coinbase, others].concat()), Some(expected));
    }

    #[test]
    fn the_witness_root_leads_to_the_commitment_of_bitcoin_core() {
        let wtxids = TEMPLATE.map(|(_, wtxid)| wtxid.parse().unwrap());
        let commitment = crate::chain::witness_commitment(witness_root(&wtxids), &[0; 32]);
        assert_eq!(
            commitment.to_hex_string(),
            "6a24aa21a9ed0398b0c0b6eac4d5d8f0001b48e97a597ad348bb46d8aff3db3bd1098bfbd2af"
        );
        assert_eq!(witness_root(&[]).to_byte_array(), [0; 32]);
    }

    proptest! {
        #[test]
        fn agrees_with_the_bitcoin_crate(ids in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
            let ids: Vec<Txid> = ids.into_iter().map(Txid::from_byte_array).collect();
            let expected = calculate_root(ids.iter().copied().map(TxMerkleNode::from));
            prop_assert_eq!(root(&ids), expected);
            let wtxids: Vec<Wtxid> =
                ids.iter().map(|id| Wtxid::from_byte_array(id.to_byte_array())).collect();
            let all = std::iter::once(Wtxid::all_zeros()).chain(wtxids.iter().copied());
            let expected = calculate_root(all.map(WitnessMerkleNode::from)).unwrap();
            prop_assert_eq!(witness_root(&wtxids), expected);
        }

        #[test]
        fn a_branch_is_as_long_as_the_tree_is_high(others in 0_usize..300) {
            let ids = vec![Txid::all_zeros(); others];
            let height = (others + 1).next_power_of_two().ilog2();
            prop_assert_eq!(branch_of_coinbase(&ids).len(), height as usize);
        }
    }
}
