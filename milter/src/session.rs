//! The milter session: collects what the MTA tells and hands each message to the gateway.
//!
//! Nothing is decided here. Callbacks convert, call one method, and return the status that was
//! negotiated for their stage.

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::time::Duration;

use indymilter::{
    Actions, Callbacks, Context, ContextActions, EomContext, MacroStage, NegotiateContext, ProtoOpts,
    SetErrorReply, SocketInfo, Status,
};
use mail::Failure;
use tokio::time::{MissedTickBehavior, interval};

use crate::draft::Draft;
use crate::gateway::{Gateway, Needs};
use crate::reply::{Answer, Refusal};
use crate::transaction::{Peer, address_of_path};

/// How often the MTA hears that we are still at work; each time restarts its content timer.
const PROGRESS: Duration = Duration::from_secs(5);

/// The state of one connection from the MTA.
pub struct Session {
    gateway: Arc<Gateway>,
    /// What was negotiated, beyond what is always needed.
    granted: Needs,
    /// Stages for which "no reply" was negotiated.
    silent: ProtoOpts,
    /// Counted as a connection.
    open: bool,
    peer: Peer,
    draft: Option<Draft>,
    /// Copies of the last message; its client has our answer once the session goes on.
    unanswered: Vec<String>,
}

/// Callbacks for indymilter.
pub fn callbacks(gateway: Arc<Gateway>) -> Callbacks<Session> {
    Callbacks::new()
        .on_negotiate(move |cx, actions, opts| {
            let gateway = gateway.clone();
            Box::pin(async move { negotiate(cx, &gateway, actions, opts) })
        })
        .on_connect(|cx, host, socket| Box::pin(async move { connect(cx, &host, &socket) }))
        .on_helo(|cx, name| Box::pin(async move { helo(cx, &name) }))
        .on_mail(|cx, args| Box::pin(async move { mail(cx, &args) }))
        .on_rcpt(|cx, args| Box::pin(async move { rcpt(cx, &args).await }))
        .on_header(|cx, name, value| Box::pin(async move { header(cx, name, value) }))
        .on_body(|cx, chunk| Box::pin(async move { body(cx, &chunk) }))
        .on_eom(|cx| Box::pin(eom(cx)))
        .on_abort(|cx| Box::pin(async move { abort(cx) }))
        .on_close(|cx| Box::pin(async move { close(cx) }))
}

/// Stages at which we never have an objection, with the option that says so.
const ALWAYS_SILENT: [ProtoOpts; 5] = [
    ProtoOpts::NOREPLY_CONNECT,
    ProtoOpts::NOREPLY_HELO,
    ProtoOpts::NOREPLY_MAIL,
    ProtoOpts::NOREPLY_HEADER,
    ProtoOpts::NOREPLY_BODY,
];

fn negotiate(
    cx: &mut NegotiateContext<Session>,
    gateway: &Arc<Gateway>,
    offered_actions: Actions,
    offered: ProtoOpts,
) -> Status {
    let needs = gateway.needs();
    let mut actions = Actions::ADD_HEADER | Actions::CHANGE_HEADER;
    if needs.body {
        actions |= Actions::REPLACE_BODY | Actions::DELETE_RCPT;
    }
    if needs.quarantine {
        actions |= Actions::QUARANTINE;
    }
    let mut required = ProtoOpts::LEADING_SPACE;
    if !needs.body {
        required |= ProtoOpts::NO_BODY;
    }
    let missing_actions = actions - offered_actions;
    let missing = required - offered;
    if !missing_actions.is_empty() || !missing.is_empty() {
        let names = missing_actions.iter_names().map(|(name, _)| name);
        let names: Vec<&str> = names.chain(missing.iter_names().map(|(name, _)| name)).collect();
        tracing::error!(
            "NOQUEUE: this MTA does not offer what the configuration needs: {}; its mail will be deferred \
             (Postfix: set milter_protocol = 6)",
            names.join(", ")
        );
        return Status::Reject;
    }
    // Unwanted stages and silent ones save the MTA a round trip each; they are asked for as far as
    // the MTA knows them.
    let mut wanted = ProtoOpts::NO_UNKNOWN | ProtoOpts::NO_DATA | ProtoOpts::NO_EOH;
    for option in ALWAYS_SILENT {
        wanted |= option;
    }
    if !needs.recipient_reply {
        wanted |= ProtoOpts::NOREPLY_RCPT;
    }
    let granted = wanted & offered;
    cx.requested_actions = actions | (offered_actions & Actions::REQUEST_MACROS);
    cx.requested_opts = required | granted;
    for (stage, names) in [
        (MacroStage::Connect, c"j v {daemon_name} {client_addr}"),
        (MacroStage::Helo, c"{tls_version} {cipher}"),
        (MacroStage::Mail, c"i v {daemon_name} {auth_authen} {auth_type} {tls_version} {cipher}"),
        (MacroStage::Rcpt, c"i"),
        (MacroStage::Eom, c"i"),
    ] {
        cx.requested_macros.insert(stage, names.to_owned());
    }
    gateway.telemetry().connected();
    cx.data = Some(Session {
        gateway: gateway.clone(),
        granted: needs,
        silent: granted,
        open: true,
        peer: Peer::default(),
        draft: None,
        unanswered: Vec::new(),
    });
    Status::Continue
}

fn connect(cx: &mut Context<Session>, host: &CStr, socket: &SocketInfo) -> Status {
    let daemon = text_of(cx.macros.get(c"{daemon_name}"));
    let client = text_of(cx.macros.get(c"{client_addr}"));
    let Some(session) = &mut cx.data else { return Status::Tempfail };
    session.reopen();
    session.peer = Peer {
        ip: match socket {
            SocketInfo::Inet(address) => Some(address.ip().to_canonical()),
            _ => client.and_then(|text| text.trim_start_matches("IPv6:").parse().ok()),
        },
        host: host.to_string_lossy().into_owned(),
        daemon,
        ..Peer::default()
    };
    session.status(ProtoOpts::NOREPLY_CONNECT)
}

fn helo(cx: &mut Context<Session>, name: &CStr) -> Status {
    let Some(session) = &mut cx.data else { return Status::Tempfail };
    // A second HELO replaces the first (RFC 5321 section 4.1.4).
    session.peer.helo = Some(name.to_string_lossy().into_owned());
    session.status(ProtoOpts::NOREPLY_HELO)
}

fn mail(cx: &mut Context<Session>, args: &[CString]) -> Status {
    let queue_id = text_of(cx.macros.get(c"i"));
    let mta = text_of(cx.macros.get(c"v"));
    let authenticated = text_of(cx.macros.get(c"{auth_authen}"));
    let daemon = text_of(cx.macros.get(c"{daemon_name}"));
    let tls = (text_of(cx.macros.get(c"{tls_version}")), text_of(cx.macros.get(c"{cipher}")));
    let Some(session) = &mut cx.data else { return Status::Tempfail };
    session.settle();
    session.peer.daemon = daemon.or_else(|| session.peer.daemon.take());
    (session.peer.tls_version, session.peer.tls_cipher) = tls;
    session.peer.mta.clone_from(&mta);
    let mut draft = Draft::begin(&session.gateway, &session.peer, authenticated);
    // Postfix gives smtpd's messages their queue id at the first recipient. One that has it at
    // MAIL did not come by SMTP (sendmail(1), a bounce), and must not be refused at RCPT.
    draft.no_smtp_client = queue_id.is_some() && mta.is_some_and(|mta| mta.starts_with("Postfix"));
    draft.queue_id = queue_id;
    if !session.granted.cover(Needs::of(&draft.config)) {
        // A body that was not asked for would look empty, and a refusal at RCPT would not be heard.
        let text = "the mail gateway was reconfigured, try again on a new connection";
        draft.fail(Failure::temporary((3, 0), text));
    }
    let mut words = args.iter().map(|arg| arg.to_string_lossy().into_owned());
    draft.envelope.reverse_path = address_of_path(&words.next().unwrap_or_default());
    draft.envelope.parameters = words.collect();
    session.draft = Some(draft);
    session.status(ProtoOpts::NOREPLY_MAIL)
}

async fn rcpt(cx: &mut Context<Session>, args: &[CString]) -> Status {
    let queue_id = text_of(cx.macros.get(c"i"));
    let Some(session) = &mut cx.data else { return Status::Tempfail };
    let Some(draft) = &mut session.draft else { return Status::Tempfail };
    draft.queue_id = queue_id.or_else(|| draft.queue_id.take());
    let mut words = args.iter().map(|arg| arg.to_string_lossy().into_owned());
    let path = words.next().unwrap_or_default();
    let refusal = draft.add_recipient(&session.gateway, path, words.collect()).await;
    if session.silent.contains(ProtoOpts::NOREPLY_RCPT) {
        return Status::Noreply;
    }
    match refusal {
        None => Status::Continue,
        Some(refusal) => set_reply(&mut cx.reply, &refusal),
    }
}

fn header(cx: &mut Context<Session>, name: CString, value: CString) -> Status {
    let Some(session) = &mut cx.data else { return Status::Tempfail };
    if let Some(draft) = &mut session.draft {
        draft.add_field(name.into_bytes(), value.into_bytes());
    }
    session.status(ProtoOpts::NOREPLY_HEADER)
}

fn body(cx: &mut Context<Session>, chunk: &[u8]) -> Status {
    let Some(session) = &mut cx.data else { return Status::Tempfail };
    if let Some(draft) = &mut session.draft {
        draft.add_body(chunk);
    }
    // Also where "no reply" was negotiated, and the library then sends none. With `Noreply` it would
    // not call `eom` for an end of message that carries the last piece of the body.
    Status::Continue
}

async fn eom(cx: &mut EomContext<Session>) -> Status {
    let queue_id = text_of(cx.macros.get(c"i"));
    let Some(session) = &mut cx.data else { return Status::Tempfail };
    let Some(mut draft) = session.draft.take() else { return Status::Tempfail };
    draft.queue_id = queue_id.or_else(|| draft.queue_id.take());
    let mut work = tokio::spawn(session.gateway.clone().finish(draft));
    let mut tick = interval(PROGRESS);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let mut answer = loop {
        tokio::select! {
            done = &mut work => break done.unwrap_or_else(|_| Answer::refused(Refusal::internal())),
            _ = tick.tick() => {
                if let Err(error) = cx.actions.progress().await {
                    tracing::debug!(%error, "cannot report progress; the MTA will try again");
                }
            }
        }
    };
    let copies = std::mem::take(&mut answer.idempotency);
    let status = carry_out(cx, answer).await;
    // After anything else the client comes again, and its copies must be recognised.
    if status == Status::Continue
        && let Some(session) = &mut cx.data
    {
        session.unanswered = copies;
    }
    status
}

/// Tells the MTA what to change and what to answer.
async fn carry_out(cx: &mut EomContext<Session>, answer: Answer) -> Status {
    if let Some(refusal) = &answer.refusal {
        return set_reply(&mut cx.reply, refusal);
    }
    if answer.discard {
        return Status::Discard;
    }
    match answer.perform(&cx.actions).await {
        // Continue, not Accept: Accept would end the dialogue for milters after us.
        Ok(()) => Status::Continue,
        Err(error) => {
            tracing::error!(%error, "cannot tell the MTA what to change; the message is deferred");
            Status::Tempfail
        }
    }
}

fn abort(cx: &mut Context<Session>) -> Status {
    if let Some(session) = &mut cx.data {
        session.settle();
        session.draft = None;
    }
    Status::Continue
}

fn close(cx: &mut Context<Session>) -> Status {
    if let Some(session) = &mut cx.data {
        // The library does not tell a good end from a connection that broke when all of our answer
        // was written. It is taken for a good one: at worst a copy is sent twice.
        session.settle();
        session.draft = None;
        if std::mem::take(&mut session.open) {
            session.gateway.telemetry().disconnected();
        }
    }
    Status::Continue
}

impl Session {
    fn status(&self, option: ProtoOpts) -> Status {
        if self.silent.contains(option) { Status::Noreply } else { Status::Continue }
    }

    /// An MTA may use its connection to us for another client (SMFIC_QUIT_NC).
    fn reopen(&mut self) {
        if !std::mem::replace(&mut self.open, true) {
            self.gateway.telemetry().connected();
        }
    }

    /// The MTA went on after our last answer, so it has it.
    fn settle(&mut self) {
        if !self.unanswered.is_empty() {
            self.gateway.answered(&std::mem::take(&mut self.unanswered));
        }
    }
}

fn set_reply(reply: &mut indymilter::SmtpReply, refusal: &Refusal) -> Status {
    let code = refusal.smtp.to_string();
    if let Err(error) = reply.set_error_reply(&code, Some(&refusal.code), [refusal.line()]) {
        tracing::error!(%error, "cannot set the reply text");
    }
    if refusal.is_temporary() { Status::Tempfail } else { Status::Reject }
}

fn text_of(value: Option<&CStr>) -> Option<String> {
    value.map(|text| text.to_string_lossy().into_owned()).filter(|text| !text.is_empty())
}
