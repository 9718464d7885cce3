//! Real block headers, built in: the known answers of every self-test.

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::hex::HexToArrayError;

use super::{HeaderError, VERSION_ROLLING_MASK, parse_header};

/// A block that a network accepted.
///
/// Anyone can check an entry without trusting this file: the double SHA-256 of the header's 80
/// bytes, with its 32 bytes reversed, is the hash. Its zeros are work that nobody can fake, and any
/// explorer shows the same hash under the height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownBlock {
    /// The network: `main` or `testnet3`.
    pub network: &'static str,
    /// Blocks before this one.
    pub height: u32,
    /// The hash, 64 hex digits as explorers show it.
    pub hash: &'static str,
    /// The header's 80 bytes, 160 hex digits.
    pub header: &'static str,
}

impl KnownBlock {
    /// The parsed header.
    ///
    /// # Errors
    ///
    /// Never for an entry of [`KNOWN_BLOCKS`]: a test parses them all.
    pub fn header(&self) -> Result<Header, HeaderError> {
        parse_header(self.header)
    }

    /// The hash as the table states it, not computed.
    ///
    /// # Errors
    ///
    /// Never for an entry of [`KNOWN_BLOCKS`]: a test parses them all.
    pub fn hash(&self) -> Result<BlockHash, HexToArrayError> {
        self.hash.parse()
    }
}

/// Headers from every year of the main chain, and some of testnet3, in the order of their times.
///
/// All have difficulty 1 or more. From 2018 on most versions are rolled (BIP 320). The nonces lie
/// all over the 32 bits, from 0x004e735c to 0xffd6e547.
#[rustfmt::skip] // a header longer than a line would leave the whole table unformatted anyway
pub const KNOWN_BLOCKS: &[KnownBlock] = &[
    block("main", 0, "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
        "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"),
    block("main", 2_400, "00000000081038eb250216ebb27f94d8896d2984dc962020c53e6a2852b92967",
        "0100000068b4475bf8e2cca686047deaaa3ec4e558048a680326751d0fcf7d8800000000c00fecbc5f688e0d95073d45af92f98d005a92ec86b00b7b7505037f6002e1d14a848349ffff001dfe778b00"),
    block("main", 26_208, "00000000b9c449d7272fa6ca3f8d028e1ac02381129bfcdc0a1f4e67c6d007cc",
        "01000000ac044f852e8f28b2f2605773619fc5dc29f4227136ef89ec30fe6092000000007fac6e28124ab265e829ac0ba0b23d084b6832b36b441b908bf9bd9962ffc42d9457ec4affff001dcd9bf92a"),
    block("main", 50_400, "000000001af6e66db5628c7ba98501623bd23ea6d720571ffedf007973be07c9",
        "01000000739105ab5f97b014bf9ef3c4bf3b9498e757f3d6f847ded46ff6e61a0000000094da4f32b5d4c2174917c6959e94e13992ea2839739babb136a8f21b1caaf07552dcc24ba7bc201c81958105"),
    block("main", 98_784, "0000000000043c4b0ed186109c36ce09e9af29b8ed0fdebcb909fa338877743d",
        "01000000f9e89064a1802f4dbbaf44da8aa7b4cb034d6b8e57f8b850b89202000000000093691ac65801307ba452ee9933fb2213411e59a6c06ad792c8f17b081872b7d11bf3104d4c86041be1d4fa20"),
    block("main", 124_992, "0000000000000f79d738bed3e162d5c6426d3750baedd35474fe2fa6644fc5dc",
        "010000004d14dde59e3aaf8329831ae6187faa465125ebc7ddbbc435e433000000000000f2ac65c1bc89ca5961b91e26d70f57953cb80bc30f4f6ba0b581de71164881217f42d44df2b9441a1a945d5a"),
    block("main", 159_264, "0000000000000aeb0e2e314dcbf78baea4cd3aacf4d559cbff6b6598b5f1373a",
        "0100000060ed9ed3d58aa5aaccb3b77615257e71de9f90ead0a8bc333807000000000000d16eda495b013ce7769d0df6e636be50dae8b3ccb7e4cb16a9494161efeeddd84dc0f84eba760e1ae798fa04"),
    block("main", 191_520, "00000000000004364825b6280a94eed1104308e5bb6d72a6e322aa28b71bcf78",
        "0100000041e9b14116056e3efcf0ff59f451decc724ca584a6b71cdd9107000000000000ad49fffc1503a0a6d4eb451177b58b1b0b9a73b639fa89cca17ffd7e31f76225596f1650c93c081a2b05791f"),
    block("testnet3", 22_176, "0000000060662a5ca0b2aa015afe39299fa4e281c4c71a58cb816f5732cfabc1",
        "02000000f4badad67375c608c8c59d52d8da8720d0aef5df35af82d598de0d27000000002ce20de5b53646b944c2cbaa71a46878c585e0782871c042fd65053aca08dcbff589445048456a1c115c77dc"),
    block("main", 227_808, "000000000000023003f076a58d63092ff453e30611e214dcb0b9e8f94bf52433",
        "020000003353b4ca5c21d9a07d7d211c7193b69581654002e667f7ab1b01000000000000f2f6441307fb180fa13d741160639cdd415a85a60433cc93032ae5ba4bc78b12d9ea4e516e81021aca79508c"),
    block("main", 294_336, "00000000000000009bd3ff597773e2fb16310491f6c1e69c85938f51b561d663",
        "020000005e299e6bb777885cb391132f67f3ffe708b0cd9a6c063cbf0000000000000000b91fb50c7db67eba4f50bb5b924beb1c8f6e07c27a03324d584b254d46d21073cedd3f53aab30019642c4d58"),
    block("main", 376_992, "0000000000000000021a4323000720f49619762e302aa921f214cd8a4adbfdb4",
        "0700002067a742ea4635ceebeb375e687c87690576e61b16344fce080000000000000000ec7dd2079d9cca7c8f0a119cfb8be37d1517abe5dd30afd0c2914dfa3ef09ce6a61e0d567214121869ed6020"),
    block("main", 421_344, "000000000000000000a3b691d6bc7b772b8035a2104ca168b02e3adac6be52d9",
        "00000020e1d95b878c0157147cf7229319f0114329f7f18878ff4b030000000000000000603e24247591d5b7a48140ff3b9223e3cc1424d6a11674603a936e143241ca07c2648d576926051878fb27f0"),
    block("main", 481_829, "000000000000000000917cba69f69b758fe396c8e30ae97bbcf08c4eb975e726",
        "02000020230f7191cfa5c630dc171288b37336cb22d561b41e33bc0000000000000000008dc5b66144b35ae39736bd6e4c449ea3a1ea810b0bcdd87eafc7cae27b696ff05d489e59e93c01180333639c"),
    block("testnet3", 1_435_392, "00000000000006e9eda400e94a207e0b4696674080f54c35838c921c70b58e33",
        "0000c0208a47a520b63b0eae75f51ef247fc5a0d9e97e42f35b4ba2dbd2c0000000000009a5df6e4aaff78ffd76a54671c01ed31d29ea9e29c60dbdef67ef3ab94be5892395fbd5bf0ff0f1a214386e4"),
    block("main", 554_405, "0000000000000000002fcbcba6a3e4f8da4b5dfdfdc63e18c348cceb9f0fa967",
        "00e000201faf2d7150b691b7ac75ac9cda67d91e33e6487ecac02900000000000000000074e5c75fe71825768d052f2a0610686ae0ffcf5123f6752794e238b3f07462273987195cf41e3717330c9ed7"),
    block("main", 590_688, "0000000000000000000bab9600a8e7593e2b13ea061c88f1c107a282ee75830b",
        "0000c020ff681bd35a2b82b68021c5b411a6ea4ff36be88fdde01600000000000000000080e4b968dc52fa066bde2fcda1669e240dd73e9c572b0256c0706deb4f5d9be9e6b9595dd1a31b175c734e00"),
    block("main", 616_905, "0000000000000000000962d551d6269edda97e5ff94586c84514f8cc7de1b50e",
        "00e0ff7fab02a0a506ed429e9d40e3a7c58f80dcdf744318c98f0d000000000000000000d338bb7242ca738d8cb0ef0f05c4d888c52eb5a075041ffafbabc3268f041544166b425ed41a12178cd64a96"),
    block("main", 645_120, "000000000000000000015d97e4f3e544f5285016a6d027985f85ea4cab47e54c",
        "00e0ff2fd98ebb2a6aba647793c8851db51c9e79712332ca669a04000000000000000000a3e1762af56223c68eab02df4f65c6e982118f1a4aed87393ad553a221738a2d8b7b435fea071017acc0cd5c"),
    block("main", 681_408, "000000000000000000020210114d7faf44223e1d620991e468af964514ff96e3",
        "00e0ff2f0fa0d5d9aaec7b276d93b7a38008ade0b73ca8185c5d030000000000000000009265a73b44d78d7b503ab4c35e9ee4ecb86980125f29b603e68c2eef95671f5696b98d6063a80d17a84d5228"),
    block("main", 715_680, "0000000000000000000769594a98bd5a813e8554c5eded0ddb994a0ff2546fcf",
        "04004020a9a215507d9d1f3b65b53b7a193dc04de9c5d3210d68040000000000000000005cda18b68325b04226116b7dd2ea077c24d41a31ba54f33921f4397a9b258df357dec661ab980b170de268cc"),
    block("main", 727_776, "000000000000000000000515b4b0a46b041dfe655e7a7d9104cc3f99d8e467ad",
        "00e0ff370633f43412ae2af63d85ec8ab70d9f97a3a968ed3ef60500000000000000000087bece94a378a4173126a2b19b4958ec05bc1598977abf7ed6b29aca26df1df378723362c0400a1747b396de"),
    block("main", 741_935, "000000000000000000052fd49b015a969a103237a79d14f80cd6bfd33255deda",
        "00805625715316f3e2c74c105bd8cef7baca1387c8d85a820fc80200000000000000000089b28bb8cd29c893d72468666118ca27b88e0ae92091724b90d8c21a316e30a734e5b362cc84091714767705"),
    block("main", 764_064, "00000000000000000006da48b920343944908861fa05b28824922d9e60aaa94d",
        "00000420f9b8d0464f71d8efae192b146a9f7034473fa962813401000000000000000000b29266254b77b00131b96af0ebf00272096bfe5d7dcc841e2204d684d02a653ccbb47a63159e07177d43285f"),
    block("main", 776_160, "000000000000000000037e587e69ca72844a7f67939b67c4c040ea041403afba",
        "00e00020d72772d106affa5f1604e92530e8646b72b460023d81060000000000000000005e8db453c75961b99844f2c26765a606d5382242cc3deec4e1e68eef0160c7f1d39ae863393007173dba4014"),
    block("main", 818_496, "000000000000000000000b002a91191840211dce937d693bb53b7dbf315a5e3e",
        "0080bf315ce9845090c4986717d07a828b8eb5d73e6351f385cc00000000000000000000ca638d77d3fdf729e5397d0944204fd668745df220d4ffdf527227223c9030cd438e626550240417142c89be"),
    block("main", 832_821, "00000000000000000002c79806b309cd2fb1606cab31154efc1360b4d032f89b",
        "0040db2d0cb9b60cb37b92e070b22fc971ca44883a418d4ca01802000000000000000000b474836e85a28bc4ad241f05c6e3e098d106ba57b19779092c546babd33e4d9df816e365128c0317bae01cff"),
    block("main", 844_704, "000000000000000000019afb7e91fe04ab7b825fce2801dd90c76129f0bec38d",
        "0000002023c717b751327a3c3351a061eb632e8d1a376a7ea8a2000000000000000000001e24087e007cd943c9d851e81954ad3d461f08091ccb24605df4e2de4f95a3e6cadf4e66f05503171250de7a"),
    block("main", 866_880, "00000000000000000001a2633222f3d86b3859dc49a26591112d44419e7ca106",
        "00c06d33abfd7611d95588541b36cf913627c5e05fc8d9ec7d7c00000000000000000000437f827366461f1e5e8253ca36ae6fb3c5bb8b023d9bfb68eafb3991d7bb3e394de9176728f102177a39728a"),
    block("testnet3", 3_532_032, "0000000000001f9d3bc818b3197971db6f7c0ee6e2eb42c79dbc63bfa17f32b0",
        "0000e020489832fa4ff106ab998856d2e1238ba42eb31f205dc01225f9c1cd01000000007becbfc75b0cb769cbd608674896ed28009476f6b1640a0c5b4559bdaa7e50ad71806567c0ff3f1c47e5d6ff"),
    block("main", 878_976, "00000000000000000002819359a9af460f342404bec23e7478512a619584083b",
        "0080cb2a84fa5fcdb3c448a0dc7f38c6a7e55f1261fcec2f0b6d00000000000000000000a2282f81592e007e389fa35ed4a9f5559c2ebf12fa76b54f0316668dcba6d961af1f8467618c02178c74d981"),
    block("main", 951_658, "00000000000000000001cbe4b4add61d60d9a470e0958f1b4024f202db9ca628",
        "04c03a25324409f3c6f4854ec44ca6b4890235e8ffc9b2a8675c01000000000000000000c731dfc5a4e40187d893c75dbd6e5e75e5df1f15dea22270ac899bf9679311012f5c1a6a8f0602171a014f96"),
];

/// Whether a block's version shows that a miner rolled it: BIP 9's top bits, and some of BIP 320's.
#[must_use]
pub fn is_version_rolled(header: &Header) -> bool {
    let version = header.version.to_consensus().cast_unsigned();
    version >> 29 == 0b001 && version & VERSION_ROLLING_MASK != 0
}

const fn block(
    network: &'static str,
    height: u32,
    hash: &'static str,
    header: &'static str,
) -> KnownBlock {
    KnownBlock { network, height, hash, header }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::chain::{block_hash, decode_bits, difficulty, meets, with_nonce};

    fn headers() -> impl Iterator<Item = (&'static KnownBlock, Header)> {
        KNOWN_BLOCKS.iter().map(|block| (block, block.header().unwrap()))
    }

    #[test]
    fn every_header_has_its_hash_and_its_work() {
        for (block, header) in headers() {
            let hash = block_hash(&header);
            assert_eq!(Ok(hash), block.hash(), "{} {}", block.network, block.height);
            let target = decode_bits(header.bits).unwrap();
            assert!(meets(&hash, &target), "{hash}");
            assert!(difficulty(&target) >= 1.0, "{hash}");
            assert!(block.hash.starts_with("00000000"), "{hash}");
            assert!(!meets(&block_hash(&with_nonce(&header, !header.nonce)), &target));
        }
    }

    #[test]
    fn blocks_are_distinct_and_in_order_of_time() {
        assert_eq!(KNOWN_BLOCKS.len(), 32);
        let times: Vec<_> = headers().map(|(_, header)| header.time).collect();
        assert!(times.is_sorted());
        let hashes: BTreeSet<_> = KNOWN_BLOCKS.iter().map(|block| block.hash).collect();
        assert_eq!(hashes.len(), KNOWN_BLOCKS.len());
        let heights = |network| {
            let blocks = KNOWN_BLOCKS.iter().filter(move |block| block.network == network);
            blocks.map(|block| block.height).collect::<Vec<_>>()
        };
        let (main, testnet3) = (heights("main"), heights("testnet3"));
        assert_eq!((main.len(), testnet3.len()), (29, 3));
        assert!(main.is_sorted() && testnet3.is_sorted());
    }

    #[test]
    fn the_main_chain_is_covered_from_2009_to_2026() {
        let year = |time: u32| 1970 + time / 31_556_952; // mean Gregorian year in seconds
        let years: BTreeSet<_> = headers()
            .filter(|(block, _)| block.network == "main")
            .map(|(_, header)| year(header.time))
            .collect();
        assert_eq!(years, (2009..=2026).collect());
        assert_eq!(KNOWN_BLOCKS.first().map(|block| block.height), Some(0));
    }

    #[test]
    fn many_versions_are_rolled() {
        let rolled = headers().filter(|(_, header)| is_version_rolled(header)).count();
        assert_eq!(rolled, 16);
    }

    #[test]
    fn nonces_are_spread_over_their_range() {
        let nonces: BTreeSet<_> = headers().map(|(_, header)| header.nonce).collect();
        assert_eq!((nonces.first(), nonces.last()), (Some(&0x004e_735c), Some(&0xffd6_e547)));
        let quarters: BTreeSet<_> = nonces.iter().map(|nonce| nonce >> 30).collect();
        assert_eq!(quarters.len(), 4);
    }
}
