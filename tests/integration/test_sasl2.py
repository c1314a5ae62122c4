"""What goes along with a login: XEP-0388, XEP-0386, XEP-0198 §8, XEP-0484, XEP-0480."""
import hashlib
import hmac
import sqlite3
import time

from suite import accounts, check, private
from xmpp import NS_SASL, NS_SASL2, NS_SM, NS_TLS, XmppError, decode, encode

NS_FAST = 'urn:xmpp:fast:0'
NS_UPGRADE = 'urn:xmpp:sasl:upgrade:0'
AGENT = 'd4565fa7-4d72-4749-b3d3-740edbf87770'


def agent(ident=AGENT):
    return ("<user-agent id='%s'><software>Test</software><device>Bench</device></user-agent>" % ident)


class Token:
    """HT-SHA-256-NONE or -ENDP (draft-schmaus-kitten-sasl-ht) with a token."""

    def __init__(self, user, token, mechanism='HT-SHA-256-NONE', binding=b''):
        self.mechanism, self.user, self.key, self.binding = mechanism, user, token.encode(), binding

    def mac(self, role):
        return hmac.new(self.key, role + self.binding, hashlib.sha256).digest()

    def first(self):
        return self.user.encode() + b'\0' + self.mac(b'Initiator')

    def verify(self, data):
        check(data == self.mac(b'Responder'), 'the server has not the token')


def secured(t, role='juliet', **options):
    client = t.client(role, **options).connect()
    client.secure()
    return client


def get_token(t, ident=AGENT, mechanism='HT-SHA-256-NONE', role='juliet'):
    client = secured(t, role)
    success = client.authenticate2(outer=agent(ident) + "<request-token xmlns='%s' mechanism='%s'/>" % (NS_FAST, mechanism))
    token = success.find('{%s}token' % NS_FAST)
    check(token is not None and token.get('expiry', '').endswith('Z'), 'no token')
    client.close()
    return token.get('token')


def by_token(t, token, ident=AGENT, attributes='', outer='', role='juliet'):
    """A login with a token: (client, success), or (client, condition)."""
    client = secured(t, role)
    exchange = Token(client.user, token)
    try:
        return client, client.authenticate2(outer=agent(ident) + "<fast xmlns='%s' %s/>" % (NS_FAST, attributes) + outer,
                                            exchange=exchange)
    except XmppError as error:
        return client, str(error).rpartition(': ')[2]


@accounts('juliet')
def test_features(t):
    """XEP-0388 §2.1: mechanisms, and what can be had inline"""
    features = secured(t).features.find('{%s}authentication' % NS_SASL2)
    inline = features.find('{%s}inline' % NS_SASL2)
    check({'SCRAM-SHA-256', 'SCRAM-SHA-256-PLUS'} <= {e.text for e in features.findall('{%s}mechanism' % NS_SASL2)},
          'mechanisms are missing')
    check(inline.find('{%s}sm' % NS_SM) is not None, 'no resumption')
    bind = inline.find('{urn:xmpp:bind:0}bind/{urn:xmpp:bind:0}inline')
    check(NS_SM in {e.get('var') for e in bind}, 'no stream management along with a resource')
    check('HT-SHA-256-EXPR' in {e.text for e in inline.find('{%s}fast' % NS_FAST)}, 'no tokens')
    check('UPGR-SCRAM-SHA-256' in {e.text for e in features.findall('{%s}upgrade' % NS_UPGRADE)}, 'no upgrades')


@accounts('juliet')
def test_plus(t):
    """XEP-0388 with SCRAM-SHA-256-PLUS"""
    for binding in ('tls-exporter', 'tls-server-end-point'):
        client = secured(t, mechanism='SCRAM-SHA-256-PLUS')
        client.binding = binding
        client.authenticate2()
        client.ping('p')


@accounts('juliet')
def test_without_bind(t):
    """XEP-0388 §2.6.1: without Bind 2 the success names the bare JID, and a resource is bound as ever"""
    client = secured(t)
    client.authenticate2(bind=False)
    check(client.jid == t.bare('juliet'), 'identifier %s' % client.jid)
    check(client.features.find('{urn:ietf:params:xml:ns:xmpp-bind}bind') is not None, 'binding is not offered')
    client.bind('x')
    client.ping('p')


@accounts('juliet')
def test_failure_leaves_the_stream_as_it_was(t):
    """XEP-0388 §2.6.2: after a failure another try may follow; conditions are those of RFC 6120"""
    client = secured(t)
    right, client.password = client.password, 'wrong'
    try:
        client.authenticate2()
        raise AssertionError('logged in')
    except XmppError as error:
        check(str(error).endswith('not-authorized'), str(error))
    client.password = right
    client.authenticate2()
    client.ping('p')


@accounts('juliet')
def test_one_profile_at_a_time(t):
    """XEP-0388 §2.4: within an exchange nothing else comes"""
    client = secured(t, mechanism='SCRAM-SHA-256')
    exchange = client.exchange('SCRAM-SHA-256')
    client.send("<authenticate xmlns='%s' mechanism='SCRAM-SHA-256'><initial-response>%s</initial-response>"
                "</authenticate>" % (NS_SASL2, encode(exchange.first())))
    client.next()
    client.send("<response xmlns='%s'>AAAA</response>" % NS_SASL)
    check(client.wait_closed() == 'policy-violation', 'it goes on')


@accounts('juliet')
def test_stream_management_within_an_exchange(t):
    """XEP-0388 §2.4: nor do requests of stream management; before one they are refused"""
    for request in ("<resume xmlns='%s' previd='x' h='0'/>" % NS_SM, "<enable xmlns='%s'/>" % NS_SM,
                    "<iq type='get' id='r' to='%s'><query xmlns='jabber:iq:register'/></iq>" % t.host):
        client = secured(t, mechanism='SCRAM-SHA-256')
        exchange = client.exchange('SCRAM-SHA-256')
        client.send("<authenticate xmlns='%s' mechanism='SCRAM-SHA-256'><initial-response>%s</initial-response>"
                    "</authenticate>" % (NS_SASL2, encode(exchange.first())))
        client.next()
        client.send(request)
        check(client.wait_closed() in ('policy-violation', 'not-authorized'), 'it goes on after %s' % request)


def secured_as(t, sender):
    """An encrypted stream whose header says who sends it."""
    client = t.client('juliet', mechanism='SCRAM-SHA-256').connect()
    client.open()
    client.send("<starttls xmlns='%s'/>" % NS_TLS)
    client.expect('{%s}proceed' % NS_TLS)
    client.start_tls(alpn=None)
    client.open("<?xml version='1.0'?><stream:stream from='%s' to='%s' version='1.0' xmlns='jabber:client' "
                "xmlns:stream='http://etherx.jabber.org/streams'>" % (sender, t.host))
    return client


@accounts('juliet', 'romeo')
def test_header_names_who_logs_in(t):
    """XEP-0388 §2.3, §3.4: an authorization identity other than the one that the stream's header names fails"""
    own = t.bare('juliet')
    for login in ('authenticate', 'authenticate2'):
        client = secured_as(t, t.bare('romeo'))
        try:
            getattr(client, login)(authzid=own)
        except XmppError as error:
            check(str(error).endswith('invalid-authzid'), str(error))
        else:
            check(False, '%s: logged in as %s, the header says %s' % (login, own, t.bare('romeo')))
        client.close()
        for sender in (own, own.upper().replace(t.host.upper(), t.host) + '/phone', t.host):
            client = secured_as(t, sender)
            getattr(client, login)(authzid=own)
            client.close()
    secured_as(t, t.bare('romeo')).authenticate2()      # a hint, where nothing else is asked for


@accounts('juliet')
def test_abort(t):
    """XEP-0388 §3.5: an abort is a failure"""
    client = secured(t)
    exchange = client.exchange('SCRAM-SHA-256')
    client.send("<authenticate xmlns='%s' mechanism='SCRAM-SHA-256'><initial-response>%s</initial-response>"
                "</authenticate>" % (NS_SASL2, encode(exchange.first())))
    client.next()
    client.send("<abort xmlns='%s'/>" % NS_SASL2)
    check(client.next().find('{%s}aborted' % NS_SASL) is not None, 'no aborted')


@accounts('juliet')
def test_authenticate_after_success(t):
    """XEP-0388 §3.7: after success another request is an error of the stream"""
    client = secured(t)
    client.authenticate2()
    client.send("<authenticate xmlns='%s' mechanism='PLAIN'/>" % NS_SASL2)
    check(client.wait_closed() is not None, 'it goes on')


@accounts('juliet')
def test_resource_is_stable(t):
    """XEP-0386 §3.2.1: the same tag and user agent get the same resource, and the earlier session ends"""
    first = secured(t)
    first.authenticate2(outer=agent())
    second = secured(t)
    second.authenticate2(outer=agent())
    check(first.jid == second.jid and '/test/' in first.jid, '%s then %s' % (first.jid, second.jid))
    check(AGENT not in first.jid, "the user agent's id is shown")
    check(first.wait_closed() == 'conflict', 'the earlier session goes on')
    other = secured(t)
    other.authenticate2(outer=agent('00000000-4d72-4749-b3d3-740edbf87770'))
    check(other.jid != second.jid, 'another user agent has the same resource')
    second.ping('p')


@accounts('juliet', 'romeo')
def test_carbons_inline(t):
    """XEP-0386: carbons are on from the first moment"""
    features = secured(t).features
    if features.find(".//{urn:xmpp:bind:0}feature[@var='urn:xmpp:carbons:2']") is None:
        t.skip('carbons are not loaded')
    phone = secured(t)
    phone.authenticate2("<enable xmlns='urn:xmpp:carbons:2'/>")
    phone.send('<presence/>')
    desk = t.login('juliet')
    romeo = t.login('romeo')
    romeo.send("<message to='%s' type='chat' id='c1'><body>x</body></message>" % desk.jid)
    got = phone.wait_for(lambda e: e.find('{urn:xmpp:carbons:2}received') is not None)
    check(got is not None, 'no copy')


@accounts('juliet', 'romeo')
def test_resume_or_bind(t):
    """XEP-0198 §8.2: what cannot be resumed fails within the success, and binding goes on"""
    client = secured(t)
    success = client.authenticate2(
        "<enable xmlns='%s' resume='true'/>" % NS_SM, outer="<resume xmlns='%s' previd='1.%s' h='0'/>" % (NS_SM, 'a' * 32))
    check(success.find('{%s}failed' % NS_SM) is not None, 'no failed')
    check(success.find('{urn:xmpp:bind:0}bound/{%s}enabled' % NS_SM) is not None, 'not bound')
    client.ping('p')
    client.cut()
    back = secured(t)
    ident = success.find('.//{%s}enabled' % NS_SM).get('id')
    resumed = back.authenticate2(outer="<resume xmlns='%s' previd='%s' h='1'/>" % (NS_SM, ident))
    check(resumed.find('{%s}resumed' % NS_SM) is not None, 'not resumed')
    check(resumed.find('{urn:xmpp:bind:0}bound') is None, 'bound although resumed')
    check(back.jid == client.jid, 'resumed as %s' % back.jid)
    back.ping('q')


@accounts('juliet')
def test_token(t):
    """XEP-0484 §4: a token logs in, again and again, in one round trip, and the server proves that it has it too"""
    token = get_token(t)
    for _ in range(3):
        client, success = by_token(t, token)
        check(not isinstance(success, str), 'failed: %s' % success)
        client.ping('p')
        check(success.find('{%s}token' % NS_FAST) is None, 'a new token although the old one is young')


@accounts('juliet')
def test_token_with_channel_binding(t):
    """XEP-0484 §3.1: a token for a mechanism with channel binding is good for that one alone"""
    token = get_token(t, mechanism='HT-SHA-256-ENDP')
    client = secured(t)
    binding = hashlib.sha256(client.sock.getpeercert(True)).digest()
    client.authenticate2(outer=agent() + "<fast xmlns='%s'/>" % NS_FAST,
                         exchange=Token(client.user, token, 'HT-SHA-256-ENDP', binding))
    client.ping('p')
    check(by_token(t, token)[1] == 'not-authorized', 'it is good without channel binding too')


@accounts('juliet', 'romeo')
def test_wrong_tokens(t):
    """XEP-0484: another token, another user agent, another account, no user agent: not-authorized"""
    token = get_token(t)
    check(by_token(t, 'x' + token[1:])[1] == 'not-authorized', 'another token')
    check(by_token(t, token, '00000000-4d72-4749-b3d3-740edbf87770')[1] == 'not-authorized', 'another user agent')
    check(by_token(t, token, 'rubbish')[1] == 'not-authorized', 'no UUID')
    check(by_token(t, token, role='romeo')[1] == 'not-authorized', 'another account')
    check(not isinstance(by_token(t, token)[1], str), 'the token is gone')


@accounts('juliet')
def test_token_count(t):
    """XEP-0484 §4.4: a count that is not above the last one is a replay"""
    token = get_token(t)
    check(not isinstance(by_token(t, token, attributes="count='5'")[1], str), 'first')
    check(by_token(t, token, attributes="count='5'")[1] == 'not-authorized', 'the same count again')
    check(by_token(t, token, attributes="count='4'")[1] == 'not-authorized', 'a lower count')
    check(by_token(t, token, attributes="count='x'")[1] == 'malformed-request', 'no number')
    check(not isinstance(by_token(t, token, attributes="count='6'")[1], str), 'a higher count')


@accounts('juliet')
def test_token_invalidate(t):
    """XEP-0484 §4.6: the client ends a token"""
    token = get_token(t)
    success = by_token(t, token, attributes="invalidate='true'")[1]
    check(not isinstance(success, str), 'refused')
    check(by_token(t, token)[1] == 'not-authorized', 'it lives on')


@accounts('juliet')
def test_new_token_replaces(t):
    """XEP-0484 §4.5: a new token leaves the old one alone until it is used, then the old one is over"""
    old = get_token(t)
    check(not isinstance(by_token(t, old)[1], str), 'old')
    new = get_token(t)
    check(not isinstance(by_token(t, old)[1], str), 'the old one is gone too early')
    check(not isinstance(by_token(t, new)[1], str), 'new')
    check(by_token(t, old)[1] == 'not-authorized', 'the old one lives on')


@private(auth__token_time='14s')
@accounts('juliet')
def test_token_rotation_and_expiry(t):
    """XEP-0484 §4.5: a token that grows old is followed by another; one whose time is over is credentials-expired"""
    token = get_token(t)
    time.sleep(2.3)
    success = by_token(t, token)[1]
    newer = success.find('{%s}token' % NS_FAST)
    check(newer is not None and newer.get('token') != token, 'no other token')
    success = by_token(t, newer.get('token'))[1]
    check(not isinstance(success, str), 'the new one: %s' % success)
    check(by_token(t, token)[1] == 'not-authorized', 'the old one lives on')
    time.sleep(14.2)
    check(by_token(t, newer.get('token'))[1] == 'credentials-expired', 'it does not expire')


def with_one_hash(t):
    """a client whose account has keys for SCRAM-SHA-1 only, as one from long ago"""
    if t.server.db != 'sqlite':
        t.skip('makes its account by SQLite')
    base = sqlite3.connect(t.server.home / 'sterna.db', timeout=10)
    with base:
        base.execute("DELETE FROM credential WHERE jid = ? AND mech <> 'SCRAM-SHA-1'", (t.bare('juliet'),))
    base.close()
    return secured(t, mechanism='SCRAM-SHA-1')


@private()
@accounts('juliet')
def test_upgrade(t):
    """XEP-0480: an account with one hash gets another from a client that knows the password"""
    client = with_one_hash(t)
    asked = ''.join("<upgrade xmlns='%s'>UPGR-SCRAM-SHA-%s</upgrade>" % (NS_UPGRADE, n) for n in ('256', '512'))
    elem = client.authenticate2(outer=asked)
    for digest in ('sha256', 'sha512'):
        task = elem.findtext('{%s}tasks/{%s}task' % (NS_SASL2, NS_SASL2))
        check(task == 'UPGR-SCRAM-SHA-' + digest[3:], 'task %s' % task)
        client.send("<next xmlns='%s' task='%s'/>" % (NS_SASL2, task))
        salt = client.expect('{%s}task-data' % NS_SASL2).find('{urn:xmpp:scram-upgrade:0}salt')
        salted = hashlib.pbkdf2_hmac(digest, client.password.encode(), decode(salt.text), int(salt.get('iterations')))
        client.send("<task-data xmlns='%s'><hash xmlns='urn:xmpp:scram-upgrade:0'>%s</hash></task-data>"
                    % (NS_SASL2, encode(salted)))
        elem = client.expect('{%s}%s' % (NS_SASL2, 'continue')) if digest == 'sha256' else client.finish2()
    client.ping('p')
    for mechanism in ('SCRAM-SHA-256', 'SCRAM-SHA-512', 'SCRAM-SHA-1'):
        t.client('juliet', mechanism=mechanism).login().ping('p')
    again = secured(t, mechanism='SCRAM-SHA-1')
    check(again.authenticate2(outer=asked).tag == '{%s}success' % NS_SASL2, 'asked for once more')


@private()
@accounts('juliet')
def test_upgrade_that_fails(t):
    """XEP-0480 §3: what is no salted password is refused, and nobody is logged in"""
    client = with_one_hash(t)
    client.authenticate2(outer="<upgrade xmlns='%s'>UPGR-SCRAM-SHA-256</upgrade>" % NS_UPGRADE)
    client.send("<next xmlns='%s' task='UPGR-SCRAM-SHA-256'/>" % NS_SASL2)
    client.expect('{%s}task-data' % NS_SASL2)
    client.send("<task-data xmlns='%s'><hash xmlns='urn:xmpp:scram-upgrade:0'>AAAA</hash></task-data>" % NS_SASL2)
    check(client.next().tag == '{%s}failure' % NS_SASL2, 'no failure')
    client.authenticate2()
    client.ping('p')


@private(limits__login_failures_per_account='3/h')
@accounts('juliet', 'romeo')
def test_failures_of_an_account(t):
    """RFC 6120 §13.11: an account that too many guess at is closed for a while; for one that nobody has it is the same"""
    def tries(user):
        seen = []
        for _ in range(4):
            client = secured(t)
            client.user, client.password = user, 'wrong'
            try:
                client.authenticate2()
            except XmppError as error:
                seen.append(str(error).rpartition(': ')[2])
        return seen
    wanted = ['not-authorized'] * 3 + ['temporary-auth-failure']
    for user in (t.users['juliet'][0], 'nobody'):
        check(tries(user) == wanted, 'answers to %s' % user)
    t.login('romeo').ping('p')


@accounts('juliet', 'romeo')
def test_archive_metadata(t):
    """XEP-0386 §3.2: the bound resource is told where the archive begins and ends, and what waits is left to it"""
    def bound():
        client = secured(t)
        success = client.authenticate2()
        return client, success.find('{urn:xmpp:bind:0}bound/{urn:xmpp:mam:2}metadata')
    metadata = bound()[1]
    if metadata is None:
        t.skip('there is no archive')
    check(len(metadata) == 0, 'an archive before the first message')
    romeo = t.login('romeo')
    ids = []
    for n in range(2):
        romeo.send("<message to='%s' type='chat' id='m%d'><body>x</body></message>" % (t.bare('juliet'), n))
    romeo.ping('p')
    client, metadata = bound()
    ends = [e.get('id') for e in metadata]
    check([e.tag.rpartition('}')[2] for e in metadata] == ['start', 'end'] and int(ends[0]) < int(ends[1]), 'ends %s' % ends)
    client.send("<presence/><iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
    while True:
        elem = client.stanza()
        if elem.get('id') == 'q':
            break
        result = elem.find('{urn:xmpp:mam:2}result')
        check(result is not None or not elem.tag.endswith('}message'), 'sent from offline storage')
        if result is not None:
            ids.append(result.get('id'))
    check(ids == ends, 'archive %s, told %s' % (ids, ends))
