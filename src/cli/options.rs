//! Options that several commands share.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::marker::PhantomData;
use std::num::IntErrorKind;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, ValueEnum};

use super::output::note;
use crate::device::inventory::Selector;
use crate::device::{Facts, display};
use crate::kernel::{Kernel, Variant};
use crate::limits::KERNEL_TEXT;
use crate::source::location::{self, LocationError};
use crate::ui::text;
pub(super) use crate::work::Profile;
use crate::work::{Nonces, SpanError};

/// Which devices.
#[derive(Debug, Args)]
pub(super) struct DeviceOptions {
    /// Use this device: index, part of the name, PCI address, or `cpu`; can be given many times.
    /// Default: all real GPUs, else the faster of software adapter and CPU
    #[arg(long = "device", short = 'd', value_name = "DEVICE")]
    pub(super) devices: Vec<Selector>,
}

/// Which devices work, and with which kernel.
#[derive(Debug, Args)]
pub(super) struct TeamOptions {
    #[command(flatten)]
    pub(super) devices: DeviceOptions,

    /// Kernel for the GPUs; `adit kernel list` shows the names. Default: the one that `adit tune` found
    /// for each, or a short tune finds at the first run
    #[arg(long, value_name = "NAME")]
    pub(super) variant: Option<Variant>,

    /// Kernel of your own for the GPUs: a WGSL file under the ABI of docs/KERNELS.md
    #[arg(
        long,
        value_name = "FILE",
        value_parser = kernel_file,
        conflicts_with_all = ["variant", "retune"]
    )]
    pub(super) wgsl: Option<Kernel>,

    /// Tune the GPUs anew before the work, for a few seconds each
    #[arg(long, conflicts_with_all = ["variant", "no_tune"])]
    pub(super) retune: bool,

    /// Neither tune nor use what an earlier tune found: the default kernel works
    #[arg(long)]
    pub(super) no_tune: bool,
}

/// How long a batch takes: what is left for the desktop in between.
impl ValueEnum for Profile {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Background, Self::Desktop, Self::Dedicated]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Background => "2 ms batches: nothing else notices",
            Self::Desktop => "12 ms batches: the desktop stays smooth",
            Self::Dedicated => "50 ms batches: for a machine that does nothing else",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

/// The profile of a device: as asked for, or that of what is plugged into it.
pub(super) fn profile(asked: Option<Profile>, facts: &Facts) -> Profile {
    let usual = || match display::drives(facts) {
        Some(true) => Profile::Desktop,
        Some(false) => Profile::Dedicated,
        None => {
            note(format_args!(
                "{}: nobody tells whether it drives a display, so it works with --profile desktop",
                text::clean(&facts.name)
            ));
            Profile::Desktop
        }
    };
    asked.unwrap_or_else(usual)
}

/// Reads what can have a password in it, which clap would repeat when it is wrong.
#[derive(Debug, Clone)]
pub(super) struct Discreet<T>(PhantomData<T>);

impl<T> Discreet<T> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> TypedValueParser for Discreet<T>
where
    T: FromStr<Err = LocationError> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        option: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let text = value.to_string_lossy();
        text.parse().map_err(|error| {
            let option = option.map(ToString::to_string).unwrap_or_default();
            let why =
                format!("invalid value '{}' for '{option}': {error}\n", location::shown(&text));
            clap::Error::raw(ErrorKind::ValueValidation, why).with_cmd(command)
        })
    }
}

/// A user's kernel, read and checked; no device has tested it yet.
pub(super) fn kernel_file(path: &str) -> Result<Kernel, String> {
    let cannot =
        |error: std::io::Error| format!("cannot read it: {error}; give the path of a WGSL file");
    let file = File::open(path).map_err(cannot)?;
    let mut text = Vec::new();
    // One byte more than a kernel may have shows that it has too many.
    file.take(KERNEL_TEXT as u64 + 1).read_to_end(&mut text).map_err(cannot)?;
    let text = String::from_utf8(text).map_err(|_| "it is no text in UTF-8".to_owned())?;
    Kernel::custom(path, &text).map_err(|error| error.to_string())
}

/// A time such as 20s.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it as 20s, 5m or 1h 30m"))
}

/// A time between bounds; `what` begins the sentence that tells them.
pub(super) fn duration(
    text: &str,
    bounds: RangeInclusive<Duration>,
    what: &str,
) -> Result<Duration, String> {
    let time = time(text)?;
    if bounds.contains(&time) {
        return Ok(time);
    }
    let [shortest, longest] = [*bounds.start(), *bounds.end()].map(humantime::format_duration);
    Err(format!("{what} {shortest} to {longest}"))
}

/// How many, where none would be a mistake.
pub(super) fn at_least_one(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("give at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("give a whole number, at least 1".to_owned()),
    }
}

/// A version mask as BIP 310 and `mining.configure` write it: up to 8 hex digits.
pub(super) fn version_mask(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let is_mask = (1..=8).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_hexdigit());
    let mask = is_mask.then(|| u32::from_str_radix(digits, 16).ok()).flatten();
    mask.ok_or_else(|| {
        format!("{text:?} is no version mask: write 1 to 8 hex digits, such as 1fffe000 (BIP 320)")
    })
}

/// How many times a header is tried with, its own first.
pub(super) fn times(text: &str) -> Result<u32, String> {
    let number = at_least_one(text)?;
    u32::try_from(number).map_err(|_| format!("{number} passes 4294967295 (2^32 - 1)"))
}

/// `A..B`, decimal or with 0x; either end may be left out.
pub(super) fn nonces(text: &str) -> Result<Nonces, String> {
    let form = || {
        format!("{text:?} is no range: write A..B, such as 0..1000000 or 0x7c000000..0x7d000000")
    };
    let past = |number: &str| {
        format!("{number} passes 4294967296 (2^32), the number of nonces of a header")
    };
    let (start, end) = text.split_once("..").ok_or_else(form)?;
    let number = |text: &str, default: u64| match text.trim() {
        "" => Ok(default),
        text => match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.replace('_', "").parse(),
        }
        .map_err(|error| {
            if *error.kind() == IntErrorKind::PosOverflow { past(text) } else { form() }
        }),
    };
    let (start, end) = (number(start, 0)?, number(end, Nonces::ALL.end())?);
    Nonces::new(start, end).map_err(|error: SpanError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_read_in_hex_and_refused_with_an_example() {
        for (text, mask) in [
            ("1fffe000", 0x1fff_e000),
            ("0x1FFFE000", 0x1fff_e000),
            ("0", 0),
            ("6", 6),
            ("ffffffff", u32::MAX),
        ] {
            assert_eq!(version_mask(text), Ok(mask));
        }
        for text in ["", "0x", "1fffe0000", "bits", "+1", "-1", "1 2", "0x0x1", "é"] {
            let error = version_mask(text).unwrap_err();
            assert!(error.contains("such as 1fffe000"), "{text}: {error}");
        }
        assert_eq!(times("4294967295"), Ok(u32::MAX));
        assert!(times("4294967296").is_err_and(|why| why.contains("passes 4294967295")));
        assert!(times("0").is_err() && times("many").is_err());
    }

    #[test]
    fn ranges_are_read_in_both_bases_and_refused_with_a_reason() {
        assert_eq!(nonces("0..4294967296"), Ok(Nonces::ALL));
        assert_eq!(nonces(".."), Ok(Nonces::ALL));
        assert_eq!(nonces("0x10..0x20"), Ok(Nonces::new(16, 32).unwrap()));
        assert_eq!(nonces("1_000.."), Ok(Nonces::new(1000, 1 << 32).unwrap()));
        for (text, reason) in [
            ("5", "A..B"),
            ("a..b", "A..B"),
            ("-1..5", "A..B"),
            ("9..3", "reversed"),
            ("0..4294967297", "passes"),
            ("0..99999999999999999999", "99999999999999999999 passes"),
        ] {
            let error = nonces(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
