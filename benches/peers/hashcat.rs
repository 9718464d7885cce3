//! What hashcat prints, and how it is asked. Written against 6.2.6.

use std::fmt;
use std::process::Command;

/// A device as `hashcat -I` lists it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) id: u32,
    pub(crate) name: String,
    is_cpu: bool,
    /// Bus, device and function.
    pci: Option<String>,
}

/// What hashcat searches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// SHA-256 of a short password.
    Single,
    /// SHA-256 of the bytes of that.
    Double,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-m {}", self.number())
    }
}

impl Mode {
    pub(crate) const ALL: [Self; 2] = [Self::Single, Self::Double];

    const fn number(self) -> u32 {
        match self {
            Self::Single => 1400,
            Self::Double => 21400,
        }
    }

    /// Of each hash. hashcat leaves out the last rounds where it can, as adit does.
    pub(crate) const fn compressions(self) -> u32 {
        match self {
            Self::Single => 1,
            Self::Double => 2,
        }
    }

    /// The command that measures it. `--force` because hashcat warns of drivers for processors, and would stop.
    pub(crate) fn benchmark(self, peer: &Peer) -> Command {
        let mut command = Command::new("hashcat");
        let (mode, id) = (self.number().to_string(), peer.id.to_string());
        command.args(["-b", "--machine-readable", "--force", "-m", &mode, "-d", &id]);
        command
    }

    /// Hashes per second: the last field of the line `device:mode:clock:memory clock:milliseconds:rate`.
    pub(crate) fn rate(self, said: &str) -> Result<f64, String> {
        let line = said.lines().find_map(|line| {
            let fields: Vec<&str> = line.trim().split(':').collect();
            let [_, mode, _, _, _, rate] = fields[..] else { return None };
            (mode == self.number().to_string()).then(|| rate.parse().ok())?
        });
        line.ok_or_else(|| format!("hashcat {self} printed no rate:\n{said}"))
    }
}

/// `v6.2.6`; `None` where it is not installed.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("hashcat").arg("--version").output().ok()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !version.is_empty()).then(|| format!("hashcat {version}"))
}

/// The devices in the text of `hashcat -I`.
pub(crate) fn devices(said: &str) -> Vec<Peer> {
    let mut peers: Vec<Peer> = Vec::new();
    // A platform has a name as well.
    let mut is_device = false;
    for line in said.lines().map(str::trim) {
        if line.contains(" ID #") {
            let number = line.strip_prefix("Backend Device ID #");
            let number = number.and_then(|number| number.split(' ').next()?.parse().ok());
            peers.extend(number.map(|id| Peer {
                id,
                name: String::new(),
                is_cpu: false,
                pci: None,
            }));
            is_device = number.is_some();
        }
        let (Some(peer), Some((field, value))) = (peers.last_mut(), line.split_once(": ")) else {
            continue;
        };
        match field.trim_end_matches('.') {
            "Name" if is_device => value.clone_into(&mut peer.name),
            "Type" if is_device => peer.is_cpu = value == "CPU",
            "PCI.Addr.BDF" if is_device => peer.pci = Some(value.to_owned()),
            _ => {}
        }
    }
    peers
}

/// hashcat's first entry for a device of adit: at the same address, or of the same name; a processor for a software
/// adapter, which runs on it.
pub(crate) fn same<'p>(
    peers: &'p [Peer],
    name: &str,
    pci: Option<&str>,
    kind: &str,
) -> Option<&'p Peer> {
    let is_software = kind == "software" || kind == "cpu";
    peers.iter().find(|peer| match (&peer.pci, pci) {
        _ if is_software || peer.is_cpu => is_software && peer.is_cpu,
        (Some(theirs), Some(ours)) => ours.to_lowercase().ends_with(&theirs.to_lowercase()),
        _ => !peer.name.is_empty() && name.contains(&peer.name),
    })
}
