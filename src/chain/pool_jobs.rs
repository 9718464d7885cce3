//! Jobs of real pools with the shares that they accepted, for tests.

use bitcoin::TxMerkleNode;
use bitcoin::hashes::Hash as _;

/// A job from a pool, and the share that the pool accepted.
pub(crate) struct PoolJob {
    pub(crate) coinb1: &'static str,
    pub(crate) extranonce1: &'static str,
    pub(crate) extranonce2: &'static str,
    pub(crate) coinb2: &'static str,
    pub(crate) branch: &'static [&'static str],
    pub(crate) header: &'static str,
    pub(crate) hash: &'static str,
    pub(crate) height: Option<u32>,
}

/// Three of them, the last on regtest.
pub(crate) const POOL_JOBS: [PoolJob; 3] = [
    // Public Pool, main chain, June 2025: accepted at share difficulty 8192.
    PoolJob {
        coinb1: "020000000100000000000000000000000000000000000000000000000000000000000000\
            00ffffffff170330c30d5075626c69632d506f6f6c",
        extranonce1: "4128064f",
        extranonce2: "17000000",
        coinb2: "ffffffff02e5b5c61200000000220020984a77c289084ff2d434c316bdada021c6c183d5\
            07c8a20d3b159b09ac02fe280000000000000000266a24aa21a9edb98ee50410ed4abd48\
            401ed484fc874409d086a3faf0816136a8ad6168314c5800000000",
        branch: &[
            "21af451ddb51e887ff1feb5592b87290098565035eb8500031aedcc776d4e72a",
            "c5af269519c809a9546d5a58ca6445d3dbb80cb7045448ecc48309af034da8f8",
            "fb9f8f9959f6bb0ceb63fa53aed1d5a615c6b6d3f50a468ea89a45a1234bda74",
            "a4f4fee8e5fc19ca8d93e67b9236c37ddb864982010434745c0abfe9b914980c",
            "33092206642744fbe5499c3e621cd5c6b52733e54fbebd869f070082b807f740",
            "3b857e32c5cff4864efab967b9a456ca03b2167ab96bd9076ce294c8a67a7fe2",
            "881a07cd881d0c3e590b4b090ea8d58e1439dc56c63686f7de23c47045441e30",
            "315e4dbcc8e7b1c9d594a73978268791880dddb2c26eec8e75768668dad99d80",
            "69952b77c632be16b1ac7ac7048f13d4e962b2e215d79a343f01e6e281d7c304",
            "fc63eb4392c4d6c6d689788875fca35143fdcd4f4a82e8698e0e441751a70b4a",
            "09e419bbe20aa3a7640f1b91f50599ceddff899e90d3f18951ad5418c4850a6b",
            "004978aa346b4f1880bcadb3ca3792d771ee6aeca427f61e74baba44b75cfb88",
        ],
        header: "0040b420fd55646bc162b96dfcd4f201a3f4670d1d3996bc965201000000000000000000\
            06ddf5f08c36414b95ea54db71a0c28761a98bcf6355919e044f88725519a7cbd7685468\
            043a02174c035275",
        hash: "0000000000023704cface997bcf7388694ea43dae96c51d80658687a7d8827fe",
        height: Some(901_936),
    },
    // The example share in the Stratum v1 documentation.
    PoolJob {
        coinb1: "010000000100000000000000000000000000000000000000000000000000000000000000\
            00ffffffff20020862062f503253482f04b8864e5008",
        extranonce1: "08000002",
        extranonce2: "00000001",
        coinb2: "072f736c7573682f000000000100f2052a010000001976a914d23fcdf86f7e756a64a7a9\
            688ef9903327048ed988ac00000000",
        branch: &[],
        header: "02000000f8b6164d19e2f65a2aae448f787fe66d61e57a48c0c6771b1e920b4400000000\
            32414daa9ddac879fd2c62839b9ba710a3546363a5f5e22915d90dc3b1699deced864e50\
            afc42a1c027c95b2",
        hash: "000000002076870fe65a2b6eeed84fa892c0db924f1482243a6247d931dcab32",
        height: Some(25_096),
    },
    // A pool on regtest, with version rolling.
    PoolJob {
        coinb1: "000000000100000000000000000000000000000000000000000000000000000000000000\
            00ffffffff11025d0104aa3f006b08",
        extranonce1: "746206e2",
        extranonce2: "00000002",
        coinb2: "0000000002f8e5814a000000001600141111111111111111111111111111111111111111\
            0000000000000000266a24aa21a9ed50abb84fc2fd8b4d9bcd15e1ae7b071ea7671ed008\
            58fec2169b36d8194ef49900000000",
        branch: &[
            "1ad5cc2c5bf0571cbe464ee74f0faf8e6d6b5e936fa4223efeb1b1d098b55df0",
            "b695a16ebe06b6ec2d695471ed2a7672308be008f45e615cde3349b148cd4dcd",
            "b9157cf7f98d4a53e5241aef5efbb66d4840293ddd31ef9074b22a94333538d5",
            "fd0631bdc4e2e6f5da6f12196585a2f5a7b7c2871192759e04955ef42242223c",
        ],
        header: "002000209e3eac1ad5ec9e09305acaca051258e9d6d81e691ba88875c6e968e01baa4332\
            cc2807ac51fd8469b4da3c401f341e08e924eab2364a6dbd4043c4de43d7f92cc73f006b\
            ffff7f204c070100",
        hash: "0000218e3b356c1bdee3146b6ff1455a36e6c9fc130b5397ac6fb2871256490c",
        height: Some(349),
    },
];

impl PoolJob {
    /// From the coinbase to the merkle root.
    pub(crate) fn branch(&self) -> Vec<TxMerkleNode> {
        self.branch.iter().map(|node| TxMerkleNode::from_slice(&unhex(node)).unwrap()).collect()
    }
}

/// Bytes from hex digits.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { panic!("odd digits: {text}") };
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(byte).collect()
}
