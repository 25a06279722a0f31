"""Users, teams, projects, service accounts, tokens, and the one question: may they?"""
