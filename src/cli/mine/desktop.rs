//! What keeps the desktop usable: how hard each device works, and who may pause it.

use crate::cli::options::{self, Profile};
use crate::cli::team::{self, Measured};
use crate::cli::{Failure, options::TeamOptions};
use crate::device::Device;
use crate::engine::DeviceId;
use crate::runtime::{Control, Crew, Reopen, Stop};
use crate::work::Duty;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is left for the desktop")]
pub(super) struct DesktopOptions {
    /// How long a batch takes. Default: `desktop` on a GPU that drives a display, else `dedicated`
    #[arg(long, value_enum)]
    profile: Option<Profile>,

    /// The part of the time in which each device works, such as 25%
    #[arg(long, value_name = "PERCENT", default_value = "100%", hide_default_value = true)]
    gpu_share: Duty,
}

/// The devices of a run, as they are governed.
pub(super) struct Governed {
    pub(super) crew: Crew,
    /// Hashes per second of each in its trial.
    pub(super) speeds: Vec<f64>,
    /// The most headers that one of them takes at once.
    pub(super) widest: u32,
    /// How each is opened again.
    pub(super) reopen: Vec<Reopen>,
}

impl DesktopOptions {
    /// Opens the devices and puts them under `control`.
    pub(super) fn open(
        &self,
        options: &TeamOptions,
        control: &Control,
        stop: &Stop,
    ) -> Result<Governed, Failure> {
        let profile = |facts: &_| options::profile(self.profile, facts);
        let measured = team::open_measured(options, &profile, stop)?;
        for (id, Measured { profile, .. }) in (0..).map(DeviceId).zip(&measured) {
            control.join(id, *profile, self.gpu_share);
        }
        let speeds = measured.iter().map(|measured| measured.rate).collect();
        let reopen = measured.iter().map(|measured| measured.reopen.clone()).collect();
        let devices: Vec<Box<dyn Device>> = measured.into_iter().map(|one| one.device).collect();
        let widest = devices.iter().map(|device| device.info().width.most).max().unwrap_or(1);
        let mut crew = Crew::new(devices, Profile::Desktop.batch_time(), stop.clone());
        crew.obey(control.clone());
        Ok(Governed { crew, speeds, widest, reopen })
    }
}
