//! A Wayland compositor, which tells by ext-idle-notify-v1 when a seat is idle and when it is used again.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{
    Connection, Dispatch, DispatchError, EventQueue, Proxy as _, QueueHandle, delegate_noop,
};
use wayland_protocols::ext::idle_notify::v1::client::ext_idle_notification_v1::{
    self, ExtIdleNotificationV1,
};
use wayland_protocols::ext::idle_notify::v1::client::ext_idle_notifier_v1::ExtIdleNotifierV1;

use crate::limits::SEATS;

/// A seat is told to be idle after this time, which is as short as what may count as idle.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// The compositor that `WAYLAND_DISPLAY` names.
#[derive(Default)]
pub(super) struct Input(Option<(EventQueue<Seats>, Seats)>);

impl Input {
    /// For how long there was no input on any seat, or why that cannot be told. What keeps a screen from being
    /// locked, such as a film, counts as input.
    pub(super) fn last(&mut self) -> Result<Duration, String> {
        self.ask().map_err(|why| {
            // The next look connects anew.
            self.0 = None;
            format!("the Wayland display does not tell when it was used last: {why}")
        })
    }

    fn ask(&mut self) -> Result<Duration, String> {
        let (queue, seats) = match &mut self.0 {
            Some(open) => open,
            none => none.insert(connect().map_err(|error| error.to_string())?),
        };
        queue.roundtrip(seats).map_err(|error| error.to_string())?;
        if seats.notifier.is_none() {
            return Err("it has no ext-idle-notify-v1".to_owned());
        }
        let idle = seats.seats.values().map(|seat| seat.idle_since);
        // Who uses one of several seats uses the machine.
        let idle = idle.map(|since| since.map_or(Duration::ZERO, |since| since.elapsed())).min();
        idle.ok_or_else(|| "it has no seat".to_owned())
    }
}

fn connect() -> Result<(EventQueue<Seats>, Seats), Box<dyn Error>> {
    Ok(look(&Connection::connect_to_env()?)?)
}

fn look(connection: &Connection) -> Result<(EventQueue<Seats>, Seats), DispatchError> {
    let mut queue = connection.new_event_queue();
    connection.display().get_registry(&queue.handle(), ());
    let mut seats = Seats::default();
    // What there is comes now.
    queue.roundtrip(&mut seats)?;
    Ok((queue, seats))
}

/// What a compositor has, and told.
#[derive(Default)]
struct Seats {
    notifier: Option<(u32, ExtIdleNotifierV1)>,
    /// By the number that the compositor gave them.
    seats: BTreeMap<u32, Seat>,
}

struct Seat {
    it: WlSeat,
    notification: Option<ExtIdleNotificationV1>,
    /// When it had its last input; `None` while it is used.
    idle_since: Option<Instant>,
}

impl Seats {
    /// Asks to be told of seats of which it was not asked yet: the notifier may come after them.
    fn watch(&mut self, queue: &QueueHandle<Self>) {
        let Some((_, notifier)) = &self.notifier else { return };
        let after = u32::try_from(TOLD_AFTER.as_millis()).unwrap_or(u32::MAX);
        for (name, seat) in &mut self.seats {
            seat.notification.get_or_insert_with(|| {
                notifier.get_idle_notification(after, &seat.it, queue, *name)
            });
        }
    }

    fn forget(&mut self, name: u32) {
        if self.notifier.as_ref().is_some_and(|(known, _)| *known == name) {
            self.notifier = None;
        }
        if let Some(notification) = self.seats.remove(&name).and_then(|seat| seat.notification) {
            notification.destroy();
        }
    }
}

impl Dispatch<WlRegistry, ()> for Seats {
    fn event(
        seats: &mut Self,
        registry: &WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        match event {
            wl_registry::Event::Global { name, interface, .. } => {
                if interface == ExtIdleNotifierV1::interface().name {
                    seats.notifier = Some((name, registry.bind(name, 1, queue, ())));
                } else if interface == WlSeat::interface().name && seats.seats.len() < SEATS {
                    let it = registry.bind(name, 1, queue, ());
                    let seat = Seat { it, notification: None, idle_since: None };
                    seats.seats.insert(name, seat);
                }
                seats.watch(queue);
            }
            wl_registry::Event::GlobalRemove { name } => seats.forget(name),
            _ => {}
        }
    }
}

impl Dispatch<ExtIdleNotificationV1, u32> for Seats {
    fn event(
        seats: &mut Self,
        _: &ExtIdleNotificationV1,
        event: ext_idle_notification_v1::Event,
        name: &u32,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let Some(seat) = seats.seats.get_mut(name) else { return };
        match event {
            ext_idle_notification_v1::Event::Idled => {
                let now = Instant::now();
                seat.idle_since = Some(now.checked_sub(TOLD_AFTER).unwrap_or(now));
            }
            ext_idle_notification_v1::Event::Resumed => seat.idle_since = None,
            _ => {}
        }
    }
}

delegate_noop!(Seats: ExtIdleNotifierV1);
delegate_noop!(Seats: ignore WlSeat);
