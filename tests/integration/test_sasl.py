"""Authentication (RFC 6120 §6, RFC 5802, XEP-0388, XEP-0386, XEP-0440)."""
from suite import accounts, check
from xmpp import NS_SASL, NS_SASL2, NS_SM, XmppError, condition_of, encode, exported_key


def login_with(t, mechanism, binding='tls-exporter'):
    client = t.client('juliet', mechanism=mechanism)
    client.binding = binding
    return client.login()


@accounts('juliet')
def test_scram_sha_1(t):
    """RFC 5802: SCRAM-SHA-1"""
    login_with(t, 'SCRAM-SHA-1').ping('p')


@accounts('juliet')
def test_scram_sha_256(t):
    """RFC 7677: SCRAM-SHA-256"""
    login_with(t, 'SCRAM-SHA-256').ping('p')


@accounts('juliet')
def test_scram_sha_512(t):
    """SCRAM-SHA-512"""
    login_with(t, 'SCRAM-SHA-512').ping('p')


@accounts('juliet')
def test_scram_plus_exporter(t):
    """RFC 9266: each -PLUS mechanism with tls-exporter"""
    probe = t.client('juliet').connect()
    probe.secure()
    if exported_key(probe.sock) is None:
        t.skip('this Python hides its TLS session')
    for digest in ('1', '256', '512'):
        login_with(t, 'SCRAM-SHA-%s-PLUS' % digest).ping('p')


@accounts('juliet')
def test_scram_plus_end_point(t):
    """RFC 5929 §4: each -PLUS mechanism with tls-server-end-point"""
    for digest in ('1', '256', '512'):
        login_with(t, 'SCRAM-SHA-%s-PLUS' % digest, 'tls-server-end-point').ping('p')


@accounts('juliet')
def test_channel_bindings_are_listed(t):
    """XEP-0440: the features list the types of channel binding"""
    client = t.client('juliet').connect()
    features = client.secure()
    holder = features.find('{urn:xmpp:sasl-cb:0}sasl-channel-binding')
    check(holder is not None, 'no list')
    types = {e.get('type') for e in holder}
    check({'tls-server-end-point', 'tls-exporter'} <= types, 'only %s' % types)


@accounts('juliet')
def test_plain(t):
    """RFC 4616: PLAIN, where it is switched on"""
    client = t.client('juliet', mechanism='PLAIN').connect()
    client.secure()
    if 'PLAIN' not in client.mechanisms():
        t.skip('PLAIN is off')
    client.authenticate()
    client.bind()


def failure(t, mechanism, first, then=None):
    """The condition that a mechanism fails with after these messages."""
    client = t.client('juliet').connect()
    client.secure()
    client.send("<auth xmlns='%s' mechanism='%s'>%s</auth>" % (NS_SASL, mechanism, first))
    answer = client.next()
    if then is not None and answer.tag == '{%s}challenge' % NS_SASL:
        client.send("<response xmlns='%s'>%s</response>" % (NS_SASL, then))
        answer = client.next()
    check(answer.tag == '{%s}failure' % NS_SASL, 'no failure but %s' % answer.tag)
    return condition_of(answer)


@accounts('juliet')
def test_wrong_password_and_unknown_user_look_alike(t):
    """RFC 6120 §6.5.10: a wrong password and an unknown user get the same condition after the same steps"""
    seen = []
    for user in (t.users['juliet'][0], 'nobody-here'):
        client = t.client('juliet', mechanism='SCRAM-SHA-256').connect()
        client.user, client.password = user, 'wrong'
        client.secure()
        try:
            client.authenticate()
        except XmppError as error:
            steps = sum(1 for line in client.transcript[-8:] if '<challenge' in line)
            seen.append((str(error).rpartition(': ')[2], steps))
    check(len(seen) == 2 and seen[0] == seen[1] and seen[0][0] == 'not-authorized', 'answers: %s' % seen)


@accounts('juliet')
def test_unknown_mechanism(t):
    """RFC 6120 §6.5.7: a mechanism that is not offered is invalid-mechanism"""
    check(failure(t, 'X-NOPE', '=') == 'invalid-mechanism', 'another condition')


@accounts('juliet')
def test_bad_base64(t):
    """RFC 6120 §6.5.5: what is no base64 is incorrect-encoding"""
    check(failure(t, 'SCRAM-SHA-256', '!!!') == 'incorrect-encoding', 'another condition')


@accounts('juliet')
def test_malformed_scram(t):
    """RFC 6120 §6.5.8: what is no SCRAM message is a malformed-request"""
    check(failure(t, 'SCRAM-SHA-256', encode(b'rubbish')) in ('malformed-request', 'not-authorized'),
          'another condition')


@accounts('juliet', 'romeo')
def test_foreign_authzid(t):
    """RFC 6120 §6.5.6: an authorization identity other than one's own is refused"""
    client = t.client('juliet', mechanism='SCRAM-SHA-256').connect()
    client.secure()
    try:
        client.authenticate(authzid=t.bare('romeo'))
    except XmppError as error:
        check('invalid-authzid' in str(error) or 'not-authorized' in str(error), str(error))
        return
    raise AssertionError('logged in as somebody else')


@accounts('juliet')
def test_abort(t):
    """RFC 6120 §6.4.4: an exchange can be aborted, and another begun"""
    client = t.client('juliet').connect()
    client.secure()
    exchange = client.exchange('SCRAM-SHA-256')
    client.send("<auth xmlns='%s' mechanism='SCRAM-SHA-256'>%s</auth>" % (NS_SASL, encode(exchange.first())))
    client.expect('{%s}challenge' % NS_SASL)
    client.send("<abort xmlns='%s'/>" % NS_SASL)
    check(condition_of(client.expect('{%s}failure' % NS_SASL)) == 'aborted', 'another condition')
    client.authenticate()


@accounts('juliet')
def test_tries_are_limited(t):
    """RFC 6120 §6.4.5: a stream does not allow many tries"""
    client = t.client('juliet').connect()
    client.secure()
    for _ in range(12):
        try:
            client.send("<auth xmlns='%s' mechanism='SCRAM-SHA-256'>%s</auth>" % (NS_SASL, encode(b'n,,x')))
            client.expect('{%s}failure' % NS_SASL)
        except XmppError:
            return
    raise AssertionError('twelve tries on one stream')


@accounts('juliet')
def test_sasl2_and_bind2(t):
    """XEP-0388, XEP-0386: one exchange logs in, binds a resource and switches on what was asked for"""
    client = t.client('juliet', resource='phone').connect()
    client.secure()
    check(client.mechanisms(NS_SASL2), 'SASL2 is not offered')
    success = client.authenticate2("<enable xmlns='urn:xmpp:carbons:2'/><enable xmlns='%s' resume='true'/>" % NS_SM)
    bound = success.find('{urn:xmpp:bind:0}bound')
    check(bound is not None, 'nothing is bound')
    check(bound.find('{%s}enabled' % NS_SM) is not None, 'stream management is not enabled')
    check(client.jid.startswith(t.bare('juliet') + '/'), 'bound as %s' % client.jid)
    client.send('<presence/>')
    client.ping('p')


@accounts('juliet', 'romeo')
def test_sasl2_resume(t):
    """XEP-0388 §2.6.3, XEP-0198 §5: a session is resumed within the login"""
    client = t.client('juliet', resource='phone').connect()
    client.secure()
    success = client.authenticate2("<enable xmlns='%s' resume='true'/>" % NS_SM)
    ident = success.find('.//{%s}enabled' % NS_SM).get('id')
    client.send('<presence/>')
    client.ping('p')
    jid = client.jid
    client.cut()
    romeo = t.login('romeo')
    romeo.send("<message to='%s' type='chat' id='m1'><body>x</body></message>" % jid)
    romeo.ping('p')
    client.connect()
    client.secure()
    success = client.authenticate2("<resume xmlns='%s' previd='%s' h='2'/>" % (NS_SM, ident), bind=False)
    check(success.find('{%s}resumed' % NS_SM) is not None, 'not resumed')
    got = client.wait_for(lambda e: e.get('id') == 'm1')
    check(got is not None, 'the message is lost')
