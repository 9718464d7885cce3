//! What a pool answers: to the handshake and to shares.

use std::time::Instant;

use bitcoin::Target;
use serde_json::json;

use super::connection::Asked;
use super::handshake::{Granted, SubscribeError, Subscription, whole};
use super::judge::{self, Judgement};
use super::outbox::Answered;
use super::wire::{Answer, Json};
use super::{Client, Event, Remedy, Session, cut};

impl Client {
    /// An answer to a request. One to an unknown request is normal: some are not waited for.
    pub(super) fn answer(&mut self, answer: &Answer<'_>, now: Instant) {
        let (Some(connection), Some(request)) = (&mut self.connection, answer.id) else { return };
        match connection.answered(request) {
            Some(Asked::Configure) => self.configured(answer, now),
            Some(asked @ (Asked::Subscribe | Asked::Resume)) => {
                self.subscribed(asked, answer, now);
            }
            Some(Asked::Authorize) => self.authorized(answer, now),
            None => self.share_answered(request, answer),
        }
    }

    fn configured(&mut self, answer: &Answer<'_>, now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        let granted = Granted::parse(answer);
        let asked = self.settings.version_mask;
        connection.version_mask = granted.version_mask.filter(|_| asked != 0);
        connection.extranonce_is_settled = granted.extranonce_is_settled;
        let minimum = self.settings.minimum_difficulty.and_then(whole);
        if minimum.is_some() && !granted.minimum_difficulty {
            self.warn("the pool sets no minimum difficulty".to_owned(), now);
        }
    }

    fn subscribed(&mut self, asked: Asked, answer: &Answer<'_>, now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        let refused = !answer.error.is_nothing() || answer.result.is_nothing();
        if refused && asked == Asked::Resume {
            connection.ask(Asked::Subscribe, &json!([self.settings.agent]));
            return;
        }
        if refused {
            let words = judge::words(&answer.error);
            return self.down(format!("the pool refused a session: {words}"), Remedy::Retry);
        }
        let Subscription { session: id, extranonce } = match Subscription::parse(&answer.result) {
            Ok(subscription) => subscription,
            Err(error @ SubscribeError::Form) => {
                return self.down(error.to_string(), Remedy::Retry);
            }
            Err(error) => return self.down(error.to_string(), Remedy::User),
        };
        connection.stage.is_subscribed = true;
        let early_target = connection.arrived.early_target.take();
        let early_job = connection.arrived.early_job.take();
        match &mut self.session {
            Some(session) if session.extranonce == extranonce => {
                connection.arrived.first_job_of_resumed = true;
                session.id = id;
                session.target = early_target.unwrap_or(session.target);
            }
            session => {
                // Difficulty 1, until the pool names another.
                let target = early_target.unwrap_or(Target::MAX);
                *session = Some(Session { id, extranonce, extranonce_is_new: false, target });
                self.outbox.forget_known();
                if self.jobs.clear() {
                    let why = "the pool began a new session, which has no job yet";
                    self.events.push_back(Event::NoWork(why.to_owned()));
                }
                self.settle_orphans();
            }
        }
        if let Some(line) = early_job {
            self.line(&line, now);
        }
        self.get_ready(now);
    }

    fn authorized(&mut self, answer: &Answer<'_>, now: Instant) {
        let Some(connection) = &mut self.connection else { return };
        if answer.result == Json::Bool(true) && answer.error.is_nothing() {
            connection.stage.is_authorized = true;
            self.get_ready(now);
        } else {
            self.login_refused(&judge::words(&answer.error), Remedy::User);
        }
    }

    /// Once the pool opened a session and accepted the login.
    fn get_ready(&mut self, now: Instant) {
        let Some(connection) = self.connection.as_mut().filter(|c| c.stage.is_ready()) else {
            return;
        };
        self.events.push_back(Event::Ready);
        if !connection.extranonce_is_settled {
            connection.request("mining.extranonce.subscribe", &json!([]));
        }
        if self.settings.version_mask != 0 && connection.version_mask.is_none() {
            let why = "the pool allows no version rolling; other parts of the header roll instead";
            self.warn(why.to_owned(), now);
        }
        self.suggest_difficulty();
        self.send_shares();
    }

    fn share_answered(&mut self, request: u64, answer: &Answer<'_>) {
        match self.outbox.answered(request) {
            Answered::Pending(pending) => {
                let Judgement { verdict, words, hopeless } = judge::judge(answer);
                self.verdict(pending.ticket, verdict, words.clone());
                match hopeless {
                    Some(remedy) => self.login_refused(&words.unwrap_or_default(), remedy),
                    None => self.send_shares(),
                }
            }
            Answered::Expired => self.counts.late += 1,
            Answered::Unknown => {}
        }
    }

    fn login_refused(&mut self, words: &str, remedy: Remedy) {
        let user = cut(&self.settings.user);
        let way_out = match remedy {
            Remedy::User => {
                "; give --user the name that the pool knows, and its password by --password-file or \
                 ADIT_PASSWORD"
            }
            Remedy::Retry => "",
        };
        self.down(format!("the pool refused the login of {user:?}: {words}{way_out}"), remedy);
    }
}
