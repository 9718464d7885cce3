//! Against a compositor of the crate wayland-server, which does what it is told and no more.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use wayland_protocols::ext::idle_notify::v1::server::ext_idle_notification_v1::{
    self, ExtIdleNotificationV1,
};
use wayland_protocols::ext::idle_notify::v1::server::ext_idle_notifier_v1::{
    self, ExtIdleNotifierV1,
};
use wayland_server::backend::{ClientData, GlobalId};
use wayland_server::protocol::wl_seat::{self, WlSeat};
use wayland_server::{
    Client, DataInit, Dispatch, Display, DisplayHandle, GlobalDispatch, New, Resource as _,
};

use super::{Input, TOLD_AFTER, look};

/// What happens at a compositor.
enum Order {
    Seat(&'static str),
    Notifier,
    Unplug(&'static str),
    Idled(&'static str),
    Resumed(&'static str),
    Crash,
}

#[derive(Default)]
struct Compositor {
    globals: BTreeMap<&'static str, GlobalId>,
    notifications: BTreeMap<&'static str, ExtIdleNotificationV1>,
    timeouts: Vec<u32>,
}

impl GlobalDispatch<WlSeat, &'static str> for Compositor {
    fn bind(
        _: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        seat: New<WlSeat>,
        name: &&'static str,
        init: &mut DataInit<'_, Self>,
    ) {
        init.init(seat, *name);
    }
}

impl GlobalDispatch<ExtIdleNotifierV1, ()> for Compositor {
    fn bind(
        _: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        notifier: New<ExtIdleNotifierV1>,
        (): &(),
        init: &mut DataInit<'_, Self>,
    ) {
        init.init(notifier, ());
    }
}

impl Dispatch<ExtIdleNotifierV1, ()> for Compositor {
    fn request(
        compositor: &mut Self,
        _: &Client,
        _: &ExtIdleNotifierV1,
        request: ext_idle_notifier_v1::Request,
        (): &(),
        _: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        if let ext_idle_notifier_v1::Request::GetIdleNotification { id, timeout, seat } = request {
            let name = *seat.data::<&'static str>().unwrap();
            compositor.timeouts.push(timeout);
            compositor.notifications.insert(name, init.init(id, ()));
        }
    }
}

impl Dispatch<ExtIdleNotificationV1, ()> for Compositor {
    fn request(
        _: &mut Self,
        _: &Client,
        _: &ExtIdleNotificationV1,
        _: ext_idle_notification_v1::Request,
        (): &(),
        _: &DisplayHandle,
        _: &mut DataInit<'_, Self>,
    ) {
    }
}

impl Dispatch<WlSeat, &'static str> for Compositor {
    fn request(
        _: &mut Self,
        _: &Client,
        _: &WlSeat,
        _: wl_seat::Request,
        _: &&'static str,
        _: &DisplayHandle,
        _: &mut DataInit<'_, Self>,
    ) {
    }
}

struct Anybody;
impl ClientData for Anybody {}

impl Compositor {
    fn obey(&mut self, order: &Order, display: &DisplayHandle) {
        match order {
            Order::Seat(name) => {
                let seat = display.create_global::<Self, WlSeat, _>(1, *name);
                self.globals.insert(name, seat);
            }
            Order::Notifier => {
                display.create_global::<Self, ExtIdleNotifierV1, _>(1, ());
            }
            Order::Unplug(name) => {
                display.remove_global::<Self>(self.globals.remove(name).unwrap());
            }
            Order::Idled(name) => self.notifications[name].idled(),
            Order::Resumed(name) => self.notifications[name].resumed(),
            Order::Crash => {}
        }
    }
}

/// Serves one client until it crashes; says for how long it was asked to wait. Each order is answered when it is done.
fn compositor(stream: UnixStream, orders: &Receiver<Order>, done: &Sender<()>) -> Vec<u32> {
    let mut display: Display<Compositor> = Display::new().unwrap();
    let mut state = Compositor::default();
    display.handle().insert_client(stream, Arc::new(Anybody)).unwrap();
    loop {
        display.dispatch_clients(&mut state).unwrap();
        if let Ok(order) = orders.recv_timeout(Duration::from_millis(1)) {
            if matches!(order, Order::Crash) {
                return state.timeouts;
            }
            state.obey(&order, &display.handle());
            done.send(()).unwrap();
        }
        display.flush_clients().unwrap();
    }
}

#[test]
fn seats_are_idle_as_the_compositor_says() {
    let (client, server) = UnixStream::pair().unwrap();
    let (order, orders) = channel();
    let (done, is_done) = channel();
    let serving = thread::spawn(move || compositor(server, &orders, &done));
    let tell = |what| {
        order.send(what).unwrap();
        is_done.recv().unwrap();
    };

    let connection = wayland_client::Connection::from_socket(client).unwrap();
    let mut input = Input(Some(look(&connection).unwrap()));
    assert!(input.ask().unwrap_err().contains("no ext-idle-notify-v1"));
    tell(Order::Seat("desk"));
    assert!(input.ask().unwrap_err().contains("no ext-idle-notify-v1"));
    tell(Order::Notifier);
    // The first look hears of it, and asks; whatever comes later is heard at the next.
    assert_eq!(input.ask(), Ok(Duration::ZERO));

    tell(Order::Idled("desk"));
    let idle = input.ask().unwrap();
    assert!(idle >= TOLD_AFTER, "{idle:?}");
    assert!(input.ask().unwrap() >= idle, "it goes on");
    tell(Order::Resumed("desk"));
    assert_eq!(input.ask(), Ok(Duration::ZERO));

    // A seat more, and whoever sits there uses the machine.
    tell(Order::Idled("desk"));
    assert!(input.ask().unwrap() >= TOLD_AFTER);
    tell(Order::Seat("sofa"));
    assert_eq!(input.ask(), Ok(Duration::ZERO));
    tell(Order::Idled("sofa"));
    assert!(input.ask().unwrap() >= TOLD_AFTER);
    tell(Order::Resumed("desk"));
    assert_eq!(input.ask(), Ok(Duration::ZERO));
    tell(Order::Unplug("desk"));
    assert!(input.ask().unwrap() >= TOLD_AFTER, "the sofa is idle still");
    tell(Order::Unplug("sofa"));
    assert!(input.ask().unwrap_err().contains("no seat"));

    order.send(Order::Crash).unwrap();
    let asked = serving.join().unwrap();
    assert_eq!(asked, [1000, 1000], "each seat once, with the time to be told after");
    assert!(input.last().is_err_and(|why| why.contains("does not tell when it was used last")));
    assert!(input.0.is_none(), "the next look connects anew");
}
