//! What a pool calls: jobs, their terms, and orders.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::handshake;
use super::notify::{Extranonce, Notify, field};
use super::wire::{Call, Json, Nonsense};
use super::{Client, Event, Remedy, cut};
use crate::chain;
use crate::limits::{ORDERED_RECONNECT, RECONNECT};

/// Why an order to reconnect is not followed.
#[derive(Debug, thiserror::Error)]
enum DisobeyedOrder {
    #[error("to another host, {0:?}")]
    Host(String),
    #[error("to port {0}; --reconnect-port allows that")]
    Port(u16),
    #[error("with a port or a wait that makes no sense")]
    Form,
    #[error("again within {} s", ORDERED_RECONNECT.as_secs())]
    Soon,
}

impl Client {
    /// Does what the pool asks for, if it makes sense.
    pub(super) fn call(&mut self, call: Call<'_>, line: &[u8], now: Instant) {
        let Call { id, method, params } = call;
        let done = match &*method {
            "mining.notify" => self.notify(&params, line),
            "mining.set_difficulty" => self.set_difficulty(&params),
            "mining.set_version_mask" => self.set_version_mask(&params),
            _ => {
                self.other_call(&method, id, &params, now);
                Ok(())
            }
        };
        if let Err(nonsense) = done {
            self.nonsense(&nonsense, now);
        }
    }

    fn other_call(&mut self, method: &str, id: Option<Value>, params: &[Json<'_>], now: Instant) {
        let (result, error) = match method {
            "mining.set_extranonce" => return self.set_extranonce(params),
            "client.show_message" => return self.show_message(params, now),
            "client.reconnect" => return self.reconnect(params, now),
            "client.get_version" => (self.settings.agent.clone().into(), Value::Null),
            "mining.ping" => ("pong".into(), Value::Null),
            _ => (Value::Null, json!([20, "unknown method", null])),
        };
        if let Some(connection) = &mut self.connection {
            connection.reply(id, &result, &error, now);
        }
    }

    fn notify(&mut self, params: &[Json<'_>], line: &[u8]) -> Result<(), Nonsense> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let Some(session) = self.session.as_mut().filter(|_| connection.stage.is_subscribed) else {
            connection.arrived.early_job = Some(line.to_vec());
            return Ok(());
        };
        let mut notify = Notify::parse(params, &session.extranonce)?;
        let arrived = &mut connection.arrived;
        let replaced_clean = arrived.job.as_ref().is_some_and(|(replaced, _)| replaced.clean);
        if std::mem::take(&mut session.extranonce_is_new) {
            notify.clean = true;
            arrived.first_job_of_resumed = false;
        }
        notify.clean |= replaced_clean;
        arrived.job = Some((notify, session.target));
        Ok(())
    }

    fn set_difficulty(&mut self, params: &[Json<'_>]) -> Result<(), Nonsense> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let difficulty = params.first().and_then(Json::number);
        let difficulty = difficulty.ok_or(field("mining.set_difficulty", "of a number"))?;
        let target = chain::target_of_difficulty(difficulty).map_err(Nonsense::Difficulty)?;
        match self.session.as_mut().filter(|_| connection.stage.is_subscribed) {
            Some(session) => session.target = target,
            None => connection.arrived.early_target = Some(target),
        }
        Ok(())
    }

    /// Source: `NiceHash`'s extension. It counts from the next job on.
    fn set_extranonce(&mut self, params: &[Json<'_>]) {
        let Some(connection) = &mut self.connection else { return };
        let Some(session) = self.session.as_mut().filter(|_| connection.stage.is_subscribed) else {
            return;
        };
        let [first, size] = [0, 1].map(|place| params.get(place).unwrap_or(&Json::Null));
        match Extranonce::parse(first, size) {
            Ok(extranonce) => {
                session.extranonce_is_new |= extranonce != session.extranonce;
                session.extranonce = extranonce;
            }
            // The jobs that follow are of that extranonce: all work on them would be in vain.
            Err(error) => {
                let why = format!("the pool set an extranonce that cannot be used: {error}");
                self.down(why, Remedy::Retry);
            }
        }
    }

    /// Source: BIP 310. It counts at once, see [`Client::take_job`], if versions roll at all.
    fn set_version_mask(&mut self, params: &[Json<'_>]) -> Result<(), Nonsense> {
        let mask = params.first().unwrap_or(&Json::Null);
        let mask = handshake::version_mask(mask);
        let mask = mask.ok_or(field("mining.set_version_mask", "of 8 hex digits"))?;
        if let Some(connection) = self.connection.as_mut().filter(|c| c.version_mask.is_some()) {
            connection.version_mask = Some(mask);
        }
        Ok(())
    }

    fn show_message(&mut self, params: &[Json<'_>], now: Instant) {
        if let Some(text) = params.first().and_then(Json::text)
            && self.talk.admits(now)
        {
            self.events.push_back(Event::Message(cut(text)));
        }
    }

    fn reconnect(&mut self, params: &[Json<'_>], now: Instant) {
        match self.check_order(params, now) {
            Ok((port, wait)) => {
                self.moved = Some(now);
                self.hang_up();
                self.events.push_back(Event::Reconnect { port, wait });
            }
            Err(why) => {
                self.warn(format!("did not follow the pool's order to reconnect {why}"), now);
            }
        }
    }

    /// Port and wait of an order to reconnect. Miners were stolen by such orders: only the user's own
    /// host counts.
    fn check_order(
        &self,
        params: &[Json<'_>],
        now: Instant,
    ) -> Result<(Option<u16>, Duration), DisobeyedOrder> {
        let [host, port, wait] = [0, 1, 2].map(|place| params.get(place).unwrap_or(&Json::Null));
        let is_given = |json: &Json<'_>| !json.is_nothing();
        if is_given(host) {
            let name = host.text().ok_or(DisobeyedOrder::Form)?;
            if !name.eq_ignore_ascii_case(&self.settings.host) {
                return Err(DisobeyedOrder::Host(cut(name)));
            }
        }
        let number = |json: &Json<'_>| json.number().ok_or(DisobeyedOrder::Form);
        let port = if is_given(port) { Some(port_number(number(port)?)?) } else { None };
        if let Some(port) = port.filter(|port| *port != self.settings.port)
            && !self.settings.reconnect_port
        {
            return Err(DisobeyedOrder::Port(port));
        }
        let wait = if is_given(wait) { number(wait)? } else { 0.0 };
        let [_, longest] = RECONNECT;
        let wait = Duration::try_from_secs_f64(wait.min(longest.as_secs_f64()));
        let wait = wait.map_err(|_| DisobeyedOrder::Form)?;
        let last = self.moved.map(|moved| now.saturating_duration_since(moved));
        if last.is_some_and(|last| last < ORDERED_RECONNECT) {
            return Err(DisobeyedOrder::Soon);
        }
        Ok((port, wait))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number of 16 bits"
)]
fn port_number(number: f64) -> Result<u16, DisobeyedOrder> {
    let is_port = number.fract() == 0.0 && (1.0..=65535.0).contains(&number);
    if is_port { Ok(number as u16) } else { Err(DisobeyedOrder::Form) }
}
