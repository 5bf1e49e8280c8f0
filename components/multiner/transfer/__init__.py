"""Train on some languages, read others: experiments that are planned, can be killed, and are explained."""
