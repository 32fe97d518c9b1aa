-- An MTA may abort at every stage; the connection stays good for the next message.
-- Wanted: -D socket=ADDRESS

-- miltertest keeps the text of an error to itself.
local function fail(text)
    mt.echo(text)
    error(text)
end

local function must(what, failed)
    if failed ~= nil then fail(what .. ": " .. failed) end
end

-- Runs one transaction up to the given stage.
local function upto(conn, stage)
    must("mail", mt.mailfrom(conn, "<alice@alpha.example>"))
    if stage == "mail" then return end
    mt.macro(conn, SMFIC_RCPT, "i", "ABORT" .. stage)
    must("rcpt", mt.rcptto(conn, "<bob@beta.example>"))
    if stage == "rcpt" then return end
    must("header", mt.header(conn, "From", " alice@alpha.example"))
    if stage == "header" then return end
    must("body", mt.bodystring(conn, "never mind\r\n"))
end

local conn = mt.connect(socket)
if conn == nil then fail("nobody listens") end
must("negotiate", mt.negotiate(conn, nil, nil, nil))
must("connect", mt.conninfo(conn, "client.example", "127.0.0.1"))
must("abort before anything", mt.abort(conn))
must("helo", mt.helo(conn, "client.example"))
must("abort after HELO", mt.abort(conn))

for _, stage in ipairs({ "mail", "rcpt", "header", "body" }) do
    upto(conn, stage)
    must("abort after " .. stage, mt.abort(conn))
end

mt.macro(conn, SMFIC_RCPT, "i", "WHOLE")
upto(conn, "mail")
mt.macro(conn, SMFIC_RCPT, "i", "WHOLE")
must("rcpt", mt.rcptto(conn, "<bob@beta.example>"))
must("header", mt.header(conn, "From", " alice@alpha.example"))
must("body", mt.bodystring(conn, "this one counts\r\n"))
must("end", mt.eom(conn))
if mt.getreply(conn) ~= SMFIR_CONTINUE then fail("the message after the aborts does not pass") end
if mt.eom_check(conn, MT_BODYCHANGE) then fail("something of an aborted message was left") end

-- An end without an abort: the MTA disappears in the middle of a message.
upto(conn, "body")
mt.disconnect(conn, false)
