"""BOSH (XEP-0124, XEP-0206): the same sessions as over TCP; numbers, lost answers, limits."""
import hashlib
import http.client
import time
import xml.etree.ElementTree as ET

import xmpp
from suite import accounts, check, private
from web import NS_BOSH, bosh
from xmpp import NS_CLIENT, NS_SM


def message(e):
    return e.tag == '{%s}message' % NS_CLIENT


def post(t, body, **headers):
    """(status, headers, the parsed answer or None)"""
    connection = http.client.HTTPConnection('127.0.0.1', t.server.http_port, timeout=15)
    try:
        connection.request('POST', '/http-bind', body, {'Content-Type': 'text/xml', **headers})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, answer.headers, ET.fromstring(text) if answer.status == 200 else None
    finally:
        connection.close()


def start(t, attributes="wait='2' hold='1'", rid=1000):
    return post(t, "<body xmlns='%s' rid='%d' to='localhost' ver='1.6' xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh' %s/>"
                % (NS_BOSH, rid, attributes))[2]


def ask(t, sid, rid, inner='', attributes=''):
    return post(t, "<body xmlns='%s' rid='%d' sid='%s' %s>%s</body>" % (NS_BOSH, rid, sid, attributes, inner))[2]


@accounts('juliet', 'romeo')
def test_a_message_each_way(t):
    """between BOSH, over TLS, and TCP"""
    juliet, romeo = bosh(t, 'juliet', tls=True).login(), t.login('romeo')
    for i in range(20):
        juliet.send("<message to='%s' type='chat'><body>%d</body></message>" % (romeo.jid, i))
        check(romeo.wait_for(message).findtext('{%s}body' % NS_CLIENT) == str(i), 'to TCP')
        romeo.send("<message to='%s' type='chat'><body>%d</body></message>" % (juliet.jid, i))
        check(juliet.wait_for(message).findtext('{%s}body' % NS_CLIENT) == str(i), 'to BOSH')
    juliet.close()


@accounts('juliet')
def test_what_a_session_is_told(t):
    """the first answer has the session's numbers and the features; the id has 128 random bits"""
    got = start(t, "wait='600' hold='9' ack='1'")
    check(got.get('requests') == '3' and got.get('hold') == '2' and got.get('wait') == '60', got.attrib)
    check(len(got.get('sid')) >= 34 and got.get('from') == 'localhost' and got.get('authid'), got.attrib)
    check(got.get('{urn:xmpp:xbosh}restartlogic') == 'true', got.attrib)
    check(got.find('{%s}features' % xmpp.NS_STREAM) is not None, 'no features')
    check(start(t).get('sid')[:34] != got.get('sid')[:34], 'the same id twice')


@accounts('juliet')
def test_lost_answers_are_said_again(t):
    """the same number gets the same answer, and is not handled twice"""
    client = bosh(t, 'juliet').login()
    ping = "<iq xmlns='jabber:client' type='get' id='p1' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"
    sid, rid = client.sid, client.rid
    client.cut()
    first = ask(t, sid, rid + 1, ping)
    while first.find('{%s}iq' % NS_CLIENT) is None:         # what the cut connections had asked for
        rid += 1
        first = ask(t, sid, rid + 1)
    again = ask(t, sid, rid + 1)
    check(ET.tostring(first) == ET.tostring(again), 'another answer')
    more = ask(t, sid, rid + 2, "<iq xmlns='jabber:client' type='get' id='p2' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    check([e.get('id') for e in more] == ['p2'], ET.tostring(more))


@accounts('juliet')
def test_out_of_order(t):
    """a request that overtook another waits for it"""
    client = bosh(t, 'juliet')
    client.hold = 2
    client.login()
    sid, rid = client.sid, client.rid
    late, early = client.body(rid=rid + 1), None
    iq = "<iq xmlns='jabber:client' type='get' id='%s' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"
    late = client.body(iq % 'first', rid=rid + 1)
    early = client.body(iq % 'second', rid=rid + 2)
    client.rid = rid + 2
    client.raw(early)
    time.sleep(0.1)
    client.raw(late)
    got = [client.wait_for(lambda e: e.get('id') in ('first', 'second')).get('id') for _ in range(2)]
    check(got == ['first', 'second'], got)
    check(sid == client.sid, 'sid')


@accounts('juliet')
def test_numbers_out_of_the_window(t):
    """a number far ahead, behind, or none at all ends the session; a wrong id is no session"""
    for rid in (999999, 1, 'x', -1, 1 << 60):
        got = start(t)
        sid = got.get('sid')
        bad = post(t, "<body xmlns='%s' rid='%s' sid='%s'/>" % (NS_BOSH, rid, sid))[2]
        check(bad.get('type') == 'terminate' and bad.get('condition') == 'item-not-found', '%s: %s' % (rid, bad.attrib))
        check(ask(t, sid, 1001).get('condition') == 'item-not-found', 'it lives on')
    for sid in ('no-such', 'ff' + '0' * 32, '00' + '0' * 32, 'zz' + '0' * 32, ''):
        check(ask(t, sid, 5).get('condition') == 'item-not-found', sid)


@accounts('juliet')
def test_bodies_that_are_none(t):
    """a DTD, other roots, two roots, half of one, too much: a condition, and no session"""
    for text in ("<!DOCTYPE b [<!ENTITY a 'b'>]><body xmlns='%s' rid='1' to='localhost'/>" % NS_BOSH, '', 'x', '<body/>',
                 "<body xmlns='%s' rid='1' to='localhost'>" % NS_BOSH, "<other xmlns='%s'/>" % NS_BOSH):
        status, _, got = post(t, text)
        check(status == 200 and got.get('type') == 'terminate' and got.get('condition') == 'bad-request', text)
    sid = start(t).get('sid')
    got = ask(t, sid, 1001, "<auth xmlns='%s' mechanism='PLAIN'>%s</auth>" % (xmpp.NS_SASL, 'x' * 12000))
    check(got.get('condition') == 'policy-violation', 'no limit before a login')
    got = post(t, "<body xmlns='%s' rid='1'/>" % NS_BOSH)[2]
    check(got.get('condition') == 'improper-addressing', got.attrib)
    got = post(t, "<body xmlns='%s' rid='1' to='elsewhere.example' wait='1' hold='1'/>" % NS_BOSH)[2]
    check(got.get('type') == 'terminate' and got.get('condition') == 'remote-stream-error', got.attrib)


@accounts('juliet')
def test_waits_no_longer_than_agreed(t):
    """with nothing to say an answer comes after 'wait'"""
    sid = start(t).get('sid')
    began = time.monotonic()
    got = ask(t, sid, 1001)
    check(1.5 < time.monotonic() - began < 5 and len(got) == 0 and got.get('type') is None, 'it took %g' % (time.monotonic() - began))


@accounts('juliet')
def test_polling(t):
    """who holds nothing may ask now and then, not again and again"""
    got = start(t, "wait='0' hold='0'")
    sid, polling = got.get('sid'), int(got.get('polling'))
    check(polling == 5 and got.get('requests') == '1', got.attrib)
    check(ask(t, sid, 1001).get('type') is None, 'the first')
    check(ask(t, sid, 1002).get('condition') == 'policy-violation', 'the next at once')


@accounts('juliet')
def test_keys(t):
    """with keys (XEP-0124 §15) a request without the right one ends the session"""
    keys = ['seed']
    for _ in range(4):
        keys.append(hashlib.sha1(keys[-1].encode()).hexdigest())
    sid = start(t, "wait='1' hold='1' newkey='%s'" % keys.pop()).get('sid')
    check(ask(t, sid, 1001, attributes="key='%s'" % keys.pop()).get('type') is None, 'the right key')
    check(ask(t, sid, 1002, attributes="key='%s'" % keys.pop()).get('type') is None, 'the next key')
    check(ask(t, sid, 1003, attributes="key='wrong'").get('condition') == 'item-not-found', 'a wrong key')


@accounts('juliet', 'romeo')
@private(http__bosh_inactivity='5s')
def test_lost_sessions_are_resumed(t):
    """without a request for too long the connection counts as lost, and XEP-0198 resumes the session elsewhere"""
    client = bosh(t, 'juliet').login()
    client.send("<enable xmlns='%s' resume='true'/>" % NS_SM)
    ident = client.wait_for(lambda e: e.tag == '{%s}enabled' % NS_SM).get('id')
    client.cut()
    time.sleep(7)
    check(t.server.ctl('session', 'list').count(client.jid) == 1, t.server.ctl('session', 'list'))
    again = t.client('juliet')
    again.connect()
    again.secure()
    again.authenticate()
    again.send("<resume xmlns='%s' h='0' previd='%s'/>" % (NS_SM, ident))
    again.wait_for(lambda e: e.tag == '{%s}resumed' % NS_SM)


@accounts('juliet')
def test_elements_behind_the_end(t):
    """what follows an element that ended the stream is dropped, and its worker goes on"""
    for _ in range(4):
        client = bosh(t, 'juliet').login()
        client.post("<none xmlns='urn:none'/>" * 3)
        check(client.wait_closed() == 'unsupported-stanza-type' and client.over == 'remote-stream-error', client.over)
    for _ in range(4):
        check(start(t).get('sid'), 'no session')


@accounts('juliet')
def test_terminate(t):
    """'terminate' ends the session for good"""
    client = bosh(t, 'juliet').login()
    sid, rid = client.sid, client.rid
    client.close()
    check(client.over == '', client.over)
    check(ask(t, sid, rid + 2).get('condition') == 'item-not-found', 'it lives on')


@accounts('juliet')
@private(http__origins=['https://chat.example.org'])
def test_origins(t):
    """pages of the origins that are named, and those alone; the preflight says what is allowed"""
    body = "<body xmlns='%s' rid='1' to='localhost' wait='1' hold='1'/>" % NS_BOSH
    status, headers, _ = post(t, body, Origin='https://chat.example.org')
    check(status == 200 and headers['Access-Control-Allow-Origin'] == 'https://chat.example.org', 'the right one')
    check(post(t, body, Origin='https://evil.example')[0] == 403, 'another')
    connection = http.client.HTTPConnection('127.0.0.1', t.server.http_port, timeout=10)
    for method, status in (('OPTIONS', 204), ('GET', 405), ('PUT', 405)):
        connection.request(method, '/http-bind', headers={'Origin': 'https://chat.example.org'})
        answer = connection.getresponse()
        answer.read()
        check(answer.status == status, '%s: %d' % (method, answer.status))
        check('POST' in (answer.headers['Allow'] or answer.headers['Access-Control-Allow-Methods']), method)
