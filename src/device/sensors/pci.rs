//! PCI addresses, which each interface writes in its own way.

use std::fmt;
use std::str::FromStr;

/// Where a device sits. As text `0000:01:00.0`, as in sysfs; NVML has eight digits for the domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::device) struct Address {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

impl FromStr for Address {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (domain, rest) = text.split_once(':').ok_or(())?;
        let (bus, rest) = rest.split_once(':').ok_or(())?;
        let (device, function) = rest.split_once('.').ok_or(())?;
        let byte = |digits| u8::from_str_radix(digits, 16).map_err(|_| ());
        Ok(Self {
            domain: u32::from_str_radix(domain, 16).map_err(|_| ())?,
            bus: byte(bus)?,
            device: byte(device)?,
            function: byte(function)?,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, bus, device, function } = self;
        write!(f, "{domain:04x}:{bus:02x}:{device:02x}.{function:x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_an_address_are_one_address() {
        let address: Address = "0000:0B:00.0".parse().unwrap();
        assert_eq!("00000000:0b:00.0".parse(), Ok(address), "NVML's");
        assert_eq!(address.to_string(), "0000:0b:00.0", "sysfs's");
        assert_ne!("0001:0b:00.0".parse(), Ok(address));
        let behind_vmd: Address = "00010000:e1:1f.7".parse().unwrap();
        assert_eq!(behind_vmd.to_string(), "10000:e1:1f.7");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "01:00.0", "0000:01:00", "../../../etc:0:0.0", "0000:100:00.0", "PCI:1:0:0"]
        {
            assert_eq!(text.parse::<Address>(), Err(()), "{text}");
        }
    }
}
