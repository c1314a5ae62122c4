-- Options of a subscription: NULL the usual ones, 'paused' no notifications (XEP-0060 §6.3, pubsub#deliver).

ALTER TABLE pubsub_member ADD COLUMN options text;
