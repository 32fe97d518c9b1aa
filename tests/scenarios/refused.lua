-- A recipient without a key is refused alone; a message without recipients is not an accident.
-- Wanted: -D socket=ADDRESS; the policy requires encryption, and only bob@beta.example has a key.

-- miltertest keeps the text of an error to itself.
local function fail(text)
    mt.echo(text)
    error(text)
end

local function must(what, failed)
    if failed ~= nil then fail(what .. ": " .. failed) end
end

local conn = mt.connect(socket)
if conn == nil then fail("nobody listens") end
must("negotiate", mt.negotiate(conn, nil, nil, nil))
if mt.test_option(conn, SMFIP_NR_RCPT) then fail("a reply at RCPT was given up") end
must("connect", mt.conninfo(conn, "client.example", "127.0.0.1"))
must("helo", mt.helo(conn, "client.example"))

must("mail", mt.mailfrom(conn, "<alice@alpha.example>"))
mt.macro(conn, SMFIC_RCPT, "i", "REFUSED1")
must("rcpt", mt.rcptto(conn, "<nobody@beta.example>"))
if mt.getreply(conn) ~= SMFIR_REPLYCODE then fail("nobody@ was not refused with a text") end
must("rcpt", mt.rcptto(conn, "<bob@beta.example>"))
if mt.getreply(conn) ~= SMFIR_CONTINUE then fail("bob@ was refused too") end
must("header", mt.header(conn, "From", " alice@alpha.example"))
must("header", mt.header(conn, "Subject", " news"))
must("body", mt.bodystring(conn, "the vault opens at nine\r\n"))
must("end", mt.eom(conn))
if mt.getreply(conn) ~= SMFIR_CONTINUE then fail("the message to bob@ does not pass") end
if not mt.eom_check(conn, MT_BODYCHANGE) then fail("the message to bob@ was not sealed") end
if mt.eom_check(conn, MT_BODYCHANGE, "the vault opens at nine\r\n") then fail("in clear") end
if mt.eom_check(conn, MT_RCPTDELETE, "<nobody@beta.example>") then fail("a recipient that was refused is deleted again") end

-- All recipients refused: the MTA gives up.
must("mail", mt.mailfrom(conn, "<alice@alpha.example>"))
must("rcpt", mt.rcptto(conn, "<nobody@beta.example>"))
if mt.getreply(conn) ~= SMFIR_REPLYCODE then fail("nobody@ was not refused") end
must("abort", mt.abort(conn))
mt.disconnect(conn)
